//! The C ABI of a TDL package, to be copied into other packages as it is. What
//! each byte means is said in tdl.h.
//!
//! A package is a crate of type cdylib whose tasks are plain functions:
//!
//! ```ignore
//! mod tdl;
//!
//! fn add(a: i64, b: i64) -> Result<i64, tdl::Error> {
//!     a.checked_add(b).ok_or_else(|| tdl::Error::execution("the sum is too large"))
//! }
//!
//! tdl::package! {
//!     name: "arith",
//!     describe: r#"{"describe": 1, "name": "arith", "tasks": []}"#,
//!     tasks: { add(a: i64, b: i64) },
//! }
//! ```
//!
//! Parameters are whatever serde can deserialize. A task that returns `()` has no
//! result, one that returns a tuple `(A, B)` two, and `(A,)` one, up to 16; any other
//! type is one result. That goes by the type, also behind an alias. Each is whatever serde
//! can serialize; a tuple inside a result travels as an array, so `((A, B),)` is one
//! result, an array of two. A task that panics answers with an ExecutionError; the crate
//! must not set `panic = "abort"` for that.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ffi::c_void;
use std::fmt::Display;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Why a task failed. The names are part of the wire format.
#[allow(dead_code, clippy::enum_variant_names)]
#[derive(Debug, Serialize)]
pub enum Error {
    TaskNotFound(String),
    DeserializationError(String),
    SerializationError(String),
    ExecutionError(String),
    InvalidTaskContext(String),
    Custom(String),
}

impl Error {
    /// The task ran and failed.
    pub fn execution(reason: impl Display) -> Self {
        Error::ExecutionError(reason.to_string())
    }
}

/// Who the task is.
#[allow(dead_code)]
#[derive(Debug, Deserialize)]
pub struct Context {
    pub job_id: u64,
    pub task_id: TaskId,
    pub task_instance_id: u64,
    pub resource_group_id: u64,
    pub serialized_task_graph_outputs: Option<Vec<u8>>,
}

#[allow(dead_code)]
#[derive(Debug, Deserialize)]
pub enum TaskId {
    Index(u64),
    Commit,
    Cleanup,
}

/// The inputs of one call: `u32 count`, then for each parameter `u32 length` and
/// one msgpack value. All lengths are checked against what is there.
pub struct Inputs<'a> {
    task: &'a str,
    count: u32,
    read: u32,
    rest: &'a [u8],
}

impl<'a> Inputs<'a> {
    fn new(task: &'a str, mut bytes: &'a [u8]) -> Result<Self, Error> {
        let count = take_u32(&mut bytes)
            .ok_or_else(|| refuse(task, "inputs", "they are no payload sequence"))?;
        Ok(Inputs {
            task,
            count,
            read: 0,
            rest: bytes,
        })
    }

    /// Refuses any other number of arguments than the task's.
    pub fn expect(&self, wanted: u32) -> Result<(), Error> {
        if self.count == wanted {
            return Ok(());
        }
        let reason = format!("want {wanted} arguments, got {}", self.count);
        Err(refuse(self.task, "inputs", reason))
    }

    /// The next parameter. Name and type are for the message if it is wrong.
    #[allow(dead_code)] // where no task has any
    pub fn next<T: DeserializeOwned>(&mut self, name: &str, type_name: &str) -> Result<T, Error> {
        self.read += 1;
        let place = format!("parameter {} ({name}: {type_name})", self.read);
        let payload = take_u32(&mut self.rest)
            .and_then(|n| take(&mut self.rest, n as usize))
            .ok_or_else(|| refuse(self.task, &place, "the inputs are cut short"))?;
        rmp_serde::from_slice(payload).map_err(|e| refuse(self.task, &place, e))
    }
}

fn refuse(task: &str, place: &str, reason: impl Display) -> Error {
    Error::DeserializationError(format!("task {task:?}: {place}: {reason}"))
}

fn take<'a>(from: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(n)?;
    *from = rest;
    Some(taken)
}

fn take_u32(from: &mut &[u8]) -> Option<u32> {
    let bytes = take(from, 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// The results of one call: `u32 count`, then for each result `u32 length` and one
/// msgpack value.
pub struct Outputs<'a> {
    task: &'a str,
    count: u32,
    sequence: Vec<u8>,
}

impl<'a> Outputs<'a> {
    fn new(task: &'a str) -> Self {
        Outputs {
            task,
            count: 0,
            sequence: vec![0; 4],
        }
    }

    fn push<T: Serialize>(mut self, value: &T) -> Result<Self, Error> {
        self.count += 1;
        let failed = |reason: String| {
            let place = format!("task {:?}: result {}", self.task, self.count);
            Error::SerializationError(format!("{place}: {reason}"))
        };
        let payload = rmp_serde::to_vec(value).map_err(|e| failed(e.to_string()))?;
        let length = u32::try_from(payload.len()).map_err(|_| failed("it is too large".into()))?;
        self.sequence.extend_from_slice(&length.to_le_bytes());
        self.sequence.extend_from_slice(&payload);
        Ok(self)
    }

    fn finish(mut self) -> Vec<u8> {
        self.sequence[..4].copy_from_slice(&self.count.to_le_bytes());
        self.sequence
    }
}

/// What a task has returned. Its method `outputs` comes from the trait [`Tuple`] where
/// the task returns a tuple, else from [`Single`]: the compiler takes the one whose `self`
/// needs no further reference.
pub struct Returned<T>(pub T);

#[allow(dead_code)] // where no task does
pub trait Tuple {
    fn outputs(&self, task: &str) -> Result<Vec<u8>, Error>;
}

#[allow(dead_code)] // where all do
pub trait Single {
    fn outputs(&self, task: &str) -> Result<Vec<u8>, Error>;
}

impl<T: Serialize> Single for &Returned<T> {
    fn outputs(&self, task: &str) -> Result<Vec<u8>, Error> {
        Ok(Outputs::new(task).push(&self.0)?.finish())
    }
}

impl Tuple for Returned<()> {
    fn outputs(&self, task: &str) -> Result<Vec<u8>, Error> {
        Ok(Outputs::new(task).finish())
    }
}

/// Implements Tuple for a tuple of these elements, and for all that are shorter.
macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        impl<$first: Serialize, $($rest: Serialize),*> Tuple for Returned<($first, $($rest),*)> {
            #[allow(non_snake_case)]
            fn outputs(&self, task: &str) -> Result<Vec<u8>, Error> {
                let ($first, $($rest),*) = &self.0;
                Ok(Outputs::new(task).push($first)?$(.push($rest)?)*.finish())
            }
        }
        tuples! { $($rest)* }
    };
    () => {};
}
tuples! { A B C D E F G H I J K L M N O P }

// The structs of tdl.h, all passed by value.

#[repr(C)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

/// The version of the ABI.
pub const VERSION: Version = Version {
    major: 0,
    minor: 1,
    patch: 0,
};

/// Bytes that the executor lends for the call, or a name that lives for ever.
#[repr(C)]
pub struct Bytes {
    ptr: *const u8,
    len: usize,
}

impl Bytes {
    pub const fn of(text: &'static str) -> Self {
        Bytes {
            ptr: text.as_ptr(),
            len: text.len(),
        }
    }

    /// # Safety
    /// What it points to must be valid for as long as the slice is used.
    unsafe fn get<'a>(&self) -> &'a [u8] {
        // A pointer whose length is 0 means nothing, and may be null.
        if self.len == 0 {
            return &[];
        }
        std::slice::from_raw_parts(self.ptr, self.len)
    }
}

/// Bytes that the executor frees.
#[repr(C)]
pub struct Outcome {
    is_error: bool,
    ptr: *mut u8,
    len: usize,
}

extern "C" {
    fn malloc(size: usize) -> *mut c_void;
}

impl Outcome {
    /// A copy made with malloc, since the executor frees it with free. Without
    /// bytes the pointer is no allocation, but not null either.
    pub fn new(is_error: bool, bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Outcome {
                is_error,
                ptr: std::ptr::NonNull::dangling().as_ptr(),
                len: 0,
            };
        }
        // SAFETY: the allocation is as long as the bytes.
        unsafe {
            let ptr = malloc(bytes.len()) as *mut u8;
            if ptr.is_null() {
                std::process::abort(); // out of memory: the parent learns SIGABRT
            }
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), ptr, bytes.len());
            Outcome {
                is_error,
                ptr,
                len: bytes.len(),
            }
        }
    }

    fn of(result: Result<Vec<u8>, Error>) -> Self {
        match result {
            Ok(sequence) => Outcome::new(false, &sequence),
            // A map of one string cannot fail to encode.
            Err(error) => Outcome::new(true, &rmp_serde::to_vec(&error).unwrap_or_default()),
        }
    }
}

/// Runs one task: is it known, does the context decode, then the task itself, by
/// its name and with its inputs.
///
/// # Safety
/// The three inputs are those of `__spider_tdl_package_execute`.
pub unsafe fn execute(
    known: &[&str],
    run: fn(&str, Inputs) -> Result<Vec<u8>, Error>,
    task: Bytes,
    context: Bytes,
    inputs: Bytes,
) -> Outcome {
    let (task, context, inputs) = (task.get(), context.get(), inputs.get());
    let call = || {
        let name = String::from_utf8_lossy(task);
        if !known.contains(&&*name) {
            return Err(Error::TaskNotFound(name.into_owned()));
        }
        // For a task that wants it: hand it on from here.
        let _: Context =
            rmp_serde::from_slice(context).map_err(|e| refuse(&name, "task context", e))?;
        run(&name, Inputs::new(&name, inputs)?)
    };
    // A panic must not leave a C function.
    let result = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(no message)");
        Err(Error::execution(format!("panic: {text}")))
    });
    Outcome::of(result)
}

/// Exports the symbols of the package; once per crate.
macro_rules! package {
    (
        name: $name:literal,
        describe: $json:expr,
        tasks: { $($task:ident($($param:ident: $type:ty),* $(,)?)),* $(,)? } $(,)?
    ) => {
        #[no_mangle]
        pub extern "C" fn __spider_tdl_package_get_version() -> $crate::tdl::Version {
            $crate::tdl::VERSION
        }

        #[no_mangle]
        pub extern "C" fn __spider_tdl_package_get_name() -> $crate::tdl::Bytes {
            $crate::tdl::Bytes::of($name)
        }

        #[no_mangle]
        pub extern "C" fn __spider_tdl_package_describe() -> $crate::tdl::Outcome {
            $crate::tdl::Outcome::new(false, $json.as_bytes())
        }

        /// # Safety
        /// Called by an executor, as tdl.h says.
        #[no_mangle]
        pub unsafe extern "C" fn __spider_tdl_package_execute(
            task: $crate::tdl::Bytes,
            context: $crate::tdl::Bytes,
            inputs: $crate::tdl::Bytes,
        ) -> $crate::tdl::Outcome {
            // Named so that no task of the author's hides behind it.
            fn __spider_tdl_run(
                task: &str,
                #[allow(unused_mut)] mut inputs: $crate::tdl::Inputs,
            ) -> ::std::result::Result<::std::vec::Vec<u8>, $crate::tdl::Error> {
                $(
                    if task == stringify!($task) {
                        let names: &[&str] = &[$(stringify!($param)),*];
                        inputs.expect(names.len() as u32)?;
                        $(let $param: $type = inputs.next(stringify!($param), stringify!($type))?;)*
                        #[allow(unused_imports)]
                        use $crate::tdl::{Single as _, Tuple as _};
                        return (&$crate::tdl::Returned(self::$task($($param),*)?)).outputs(task);
                    }
                )*
                ::std::result::Result::Err($crate::tdl::Error::TaskNotFound(task.into()))
            }
            $crate::tdl::execute(&[$(stringify!($task)),*], __spider_tdl_run, task, context, inputs)
        }
    };
}
pub(crate) use package;

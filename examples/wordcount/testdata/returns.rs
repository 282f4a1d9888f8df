//! A package for the tests of tdl.rs: what each return type becomes on the wire.

#[path = "../src/tdl.rs"]
mod tdl;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};

tdl::package! {
    name: "returns",
    describe: r#"{"describe": 1, "name": "returns", "tasks": []}"#,
    tasks: {
        unit(), alias_of_unit(), one(), one_tuple(), two(), alias_of_two(), sixteen(), tuple_as_one(),
        none(), array(), list(), pair_struct(), unit_struct(), none_of_two(n: u64), second_fails(),
    },
}

type Nothing = ();
type Two = (u64, String);

#[derive(Serialize)]
struct Pair(u64, u64);

#[derive(Serialize)]
struct Unit;

struct Unserializable;

impl Serialize for Unserializable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("it has no form"))
    }
}

fn unit() -> Result<(), tdl::Error> {
    Ok(())
}

fn alias_of_unit() -> Result<Nothing, tdl::Error> {
    Ok(())
}

fn one() -> Result<u64, tdl::Error> {
    Ok(55)
}

fn one_tuple() -> Result<(u64,), tdl::Error> {
    Ok((55,))
}

fn two() -> Result<(u64, String), tdl::Error> {
    Ok((1, "b".into()))
}

fn alias_of_two() -> Result<Two, tdl::Error> {
    two()
}

#[allow(clippy::type_complexity)]
fn sixteen() -> Result<
    (
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
        u8,
    ),
    tdl::Error,
> {
    Ok((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
}

fn tuple_as_one() -> Result<((u64, String),), tdl::Error> {
    Ok((two()?,))
}

fn none() -> Result<Option<u64>, tdl::Error> {
    Ok(None)
}

fn array() -> Result<[u8; 2], tdl::Error> {
    Ok([1, 2])
}

fn list() -> Result<Vec<(u64, u64)>, tdl::Error> {
    Ok(vec![(1, 2)])
}

fn pair_struct() -> Result<Pair, tdl::Error> {
    Ok(Pair(1, 2))
}

fn unit_struct() -> Result<Unit, tdl::Error> {
    Ok(Unit)
}

fn none_of_two(n: u64) -> Result<(u64, u64), tdl::Error> {
    Err(tdl::Error::Custom(format!("not {n}")))
}

fn second_fails() -> Result<(u64, Unserializable), tdl::Error> {
    Ok((1, Unserializable))
}

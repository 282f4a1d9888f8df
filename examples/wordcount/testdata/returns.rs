//! A package for the tests of tdl.rs: what each return type becomes on the wire.

#[path = "../src/tdl.rs"]
mod tdl;

use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

tdl::package! {
    name: "returns",
    describe: r#"{"describe": 1, "name": "returns", "tasks": []}"#,
    tasks: {
        unit(), alias_of_unit(), one(), one_tuple(), two(), alias_of_two(), sixteen(), tuple_as_one(),
        none(), array(), list(), pair_struct(), unit_struct(), none_of_two(n: u64), second_fails(),
        tuple(tuple: Tuple), single(x: Single),
    },
}

// Names that are common, or those of traits in tdl.rs.
type Result<T> = std::result::Result<T, tdl::Error>;

#[derive(Serialize, Deserialize)]
struct Tuple(u64);

#[derive(Serialize, Deserialize)]
struct Single(u64);

// A parameter may be called as its task.
fn tuple(tuple: Tuple) -> Result<(Tuple, u8)> {
    Ok((tuple, 2))
}

fn single(x: Single) -> Result<Single> {
    Ok(x)
}

type Nothing = ();
type Two = (u64, String);

#[derive(Serialize)]
struct Pair(u64, u64);

#[derive(Serialize)]
struct Unit;

struct Unserializable;

impl Serialize for Unserializable {
    fn serialize<S: Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
        Err(S::Error::custom("it has no form"))
    }
}

fn unit() -> Result<()> {
    Ok(())
}

fn alias_of_unit() -> Result<Nothing> {
    Ok(())
}

fn one() -> Result<u64> {
    Ok(55)
}

fn one_tuple() -> Result<(u64,)> {
    Ok((55,))
}

fn two() -> Result<(u64, String)> {
    Ok((1, "b".into()))
}

fn alias_of_two() -> Result<Two> {
    two()
}

#[allow(clippy::type_complexity)]
fn sixteen() -> Result<(
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
)> {
    Ok((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
}

fn tuple_as_one() -> Result<((u64, String),)> {
    Ok((two()?,))
}

fn none() -> Result<Option<u64>> {
    Ok(None)
}

fn array() -> Result<[u8; 2]> {
    Ok([1, 2])
}

fn list() -> Result<Vec<(u64, u64)>> {
    Ok(vec![(1, 2)])
}

fn pair_struct() -> Result<Pair> {
    Ok(Pair(1, 2))
}

fn unit_struct() -> Result<Unit> {
    Ok(Unit)
}

fn none_of_two(n: u64) -> Result<(u64, u64)> {
    Err(tdl::Error::Custom(format!("not {n}")))
}

fn second_fails() -> Result<(u64, Unserializable)> {
    Ok((1, Unserializable))
}

package msgpack

import "reflect"

// The zoo: Go types and the Rust types they stand for. Test tables and the
// recorded answers of the Rust side name them by the keys of zoo.

type (
	zooInner struct { // struct Inner { re: f32, im: f64 }
		Re float32
		Im float64
	}
	zooOuter struct { // struct Outer { name: String, n: i32, inner: Inner, list: Vec<Inner>, opt: Option<u64> }
		Name  string
		N     int32
		Inner zooInner
		List  []zooInner
		Opt   *uint64
	}
	zooPing  struct{ Unit } // struct Ping;
	zooEmpty struct{}       // struct Empty {}
	zooOne   struct {       // struct One { a: u8 }
		A uint8
	}
	zooOpts struct { // struct Opts { a: Option<u8>, b: Option<Option<u16>>, c: u8 }
		A *uint8
		B **uint16
		C uint8
	}
	zooUnits struct { // struct UnitF { u: (), p: Ping, e: Empty }
		U Unit
		P zooPing
		E zooEmpty
	}
	zooTuple1 struct { // (u64,)
		Tuple
		V uint64
	}
	zooTuple2 struct { // (u64, String), struct TupS(u64, String)
		Tuple
		V uint64
		S string
	}
	zooTuple3 struct { // (u8, i64, f32)
		Tuple
		A uint8
		B int64
		C float32
	}
	zooEnum struct {
		Enum
		Unit  *Unit      // Unit
		New   *uint64    // New(u64)
		Tup   *zooTup    // Tup(u64, bool)
		Str   *zooStr    // Str { a: u8, b: Option<i16> }
		Opt   **uint8    // Opt(Option<u8>)
		Rec   *zooEnum   // Rec(Box<E>)
		List  *[]zooEnum // List(Vec<E>)
		Ping  *zooPing   // Ping(Ping)
		Empty *zooEmpty  // Empty {}
	}
	zooTup struct {
		Tuple
		V uint64
		B bool
	}
	zooStr struct {
		A uint8
		B *int16
	}
	zooColor string // enum Color { Red, Green, Blue }
	zooRec   struct {
		Kids []zooRec // Vec<Rec>
		Next *zooRec  // Option<Box<Rec>>
	}
	zooList []zooList // struct L(Vec<L>)
	zooKey  struct {  // struct K { a: u8, b: String }
		A uint8
		B string
	}
)

func (zooColor) EnumVariants() []string { return []string{"Red", "Green", "Blue"} }

var zoo = map[string]reflect.Type{
	"u8": reflect.TypeFor[uint8](), "u16": reflect.TypeFor[uint16](), "u32": reflect.TypeFor[uint32](), "u64": reflect.TypeFor[uint64](),
	"i8": reflect.TypeFor[int8](), "i16": reflect.TypeFor[int16](), "i32": reflect.TypeFor[int32](), "i64": reflect.TypeFor[int64](),
	"f32": reflect.TypeFor[float32](), "f64": reflect.TypeFor[float64](), "bool": reflect.TypeFor[bool](), "string": reflect.TypeFor[string](),
	"unit": reflect.TypeFor[Unit](),

	"opt": reflect.TypeFor[*uint64](), "optopt": reflect.TypeFor[**uint64](), "optstr": reflect.TypeFor[*string](),
	"optping": reflect.TypeFor[*zooPing](), "optenum": reflect.TypeFor[*zooEnum](), "optunit": reflect.TypeFor[*Unit](),

	"bytes": reflect.TypeFor[[]byte](), "vi8": reflect.TypeFor[[]int8](), "vu16": reflect.TypeFor[[]uint16](),
	"vu64": reflect.TypeFor[[]uint64](), "vi64": reflect.TypeFor[[]int64](), "vf32": reflect.TypeFor[[]float32](),
	"vf64": reflect.TypeFor[[]float64](), "vbool": reflect.TypeFor[[]bool](), "vstr": reflect.TypeFor[[]string](),
	"vopt": reflect.TypeFor[[]*uint8](), "vunit": reflect.TypeFor[[]Unit](), "vempty": reflect.TypeFor[[]zooEmpty](),
	"vping": reflect.TypeFor[[]zooPing](), "vone": reflect.TypeFor[[]zooOne](), "venum": reflect.TypeFor[[]zooEnum](),
	"vcolor": reflect.TypeFor[[]zooColor](), "vvu64": reflect.TypeFor[[][]uint64](), "vbytes": reflect.TypeFor[[][]byte](),

	"a3u8": reflect.TypeFor[[3]uint8](), "a0u8": reflect.TypeFor[[0]uint8](), "a2str": reflect.TypeFor[[2]string](), "a2opt": reflect.TypeFor[[2]*uint8](),
	"t1": reflect.TypeFor[zooTuple1](), "t2": reflect.TypeFor[zooTuple2](), "t3": reflect.TypeFor[zooTuple3](), "tups": reflect.TypeFor[zooTuple2](),

	"inner": reflect.TypeFor[zooInner](), "outer": reflect.TypeFor[zooOuter](), "ping": reflect.TypeFor[zooPing](),
	"empty": reflect.TypeFor[zooEmpty](), "one": reflect.TypeFor[zooOne](), "opts": reflect.TypeFor[zooOpts](), "unitf": reflect.TypeFor[zooUnits](),
	"enum": reflect.TypeFor[zooEnum](), "color": reflect.TypeFor[zooColor](), "rec": reflect.TypeFor[zooRec](), "l": reflect.TypeFor[zooList](),

	"mstr": reflect.TypeFor[map[string]int64](), "mi32": reflect.TypeFor[map[int32]string](), "mu8": reflect.TypeFor[map[uint8]*uint8](),
	"mbool": reflect.TypeFor[map[bool][]byte](), "mk": reflect.TypeFor[map[zooKey]uint8](), "mcolor": reflect.TypeFor[map[zooColor]uint8](),
	"marr": reflect.TypeFor[map[[2]int8]uint8](), "mm": reflect.TypeFor[map[string]map[uint8]zooInner](), "munit": reflect.TypeFor[map[Unit]uint8](),
}

//! The shapes of entries: `.debug_abbrev`.
//!
//! Facts: DWARF 4, 7.5.3 and figures 18 to 21. An entry begins with the number of its shape, which says
//! the tag, whether children follow, and which attributes come in which form.

use super::uleb;

/// Forms.
mod form {
    pub(super) const ADDR: u8 = 0x01;
    pub(super) const DATA2: u8 = 0x05;
    pub(super) const DATA8: u8 = 0x07;
    pub(super) const DATA1: u8 = 0x0b;
    pub(super) const SDATA: u8 = 0x0d;
    pub(super) const STRP: u8 = 0x0e;
    pub(super) const UDATA: u8 = 0x0f;
    pub(super) const REF_ADDR: u8 = 0x10;
    pub(super) const REF4: u8 = 0x13;
    pub(super) const EXPRLOC: u8 = 0x18;
    pub(super) const PRESENT: u8 = 0x19;
}

/// Attributes, each with the form that it has here.
mod at {
    use super::form;
    type Attribute = (u8, u8);
    pub(super) const LOCATION: Attribute = (0x02, form::EXPRLOC);
    pub(super) const NAME: Attribute = (0x03, form::STRP);
    pub(super) const BYTE_SIZE: Attribute = (0x0b, form::UDATA);
    pub(super) const BIT_SIZE: Attribute = (0x0d, form::UDATA);
    pub(super) const LOW_PC: Attribute = (0x11, form::ADDR);
    pub(super) const HIGH_PC: Attribute = (0x12, form::DATA8);
    pub(super) const LANGUAGE: Attribute = (0x13, form::DATA2);
    pub(super) const UNSIGNED_VALUE: Attribute = (0x1c, form::UDATA);
    pub(super) const SIGNED_VALUE: Attribute = (0x1c, form::SDATA);
    pub(super) const PRODUCER: Attribute = (0x25, form::STRP);
    pub(super) const PROTOTYPED: Attribute = (0x27, form::PRESENT);
    pub(super) const COUNT: Attribute = (0x37, form::UDATA);
    pub(super) const MEMBER_OFFSET: Attribute = (0x38, form::UDATA);
    pub(super) const DECLARATION: Attribute = (0x3c, form::PRESENT);
    pub(super) const ENCODING: Attribute = (0x3e, form::DATA1);
    pub(super) const EXTERNAL: Attribute = (0x3f, form::PRESENT);
    pub(super) const TYPE: Attribute = (0x49, form::REF4);
    pub(super) const BIT_OFFSET: Attribute = (0x6b, form::UDATA);
}

/// What an entry describes; each is one or several [`SHAPES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tag {
    Array = 0x01,
    Enumeration = 0x04,
    Parameter = 0x05,
    Member = 0x0d,
    Pointer = 0x0f,
    Unit = 0x11,
    Structure = 0x13,
    Subroutine = 0x15,
    Typedef = 0x16,
    Union = 0x17,
    MoreParameters = 0x18,
    Subrange = 0x21,
    Base = 0x24,
    Const = 0x26,
    Enumerator = 0x28,
    Function = 0x2e,
    Variable = 0x34,
    Volatile = 0x35,
    Restrict = 0x37,
}

/// Names the shapes; the number of each is its place in [`SHAPES`] and one.
macro_rules! shapes {
    ($($name:ident: $tag:ident, $children:literal, [$($at:ident),*];)*) => {
        /// A shape.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Shape { $($name),* }

        const SHAPES: &[(Tag, bool, &[(u8, u8)])] =
            &[$((Tag::$tag, $children, &[$(at::$at),*])),*];
    };
}

// With a name and without, with a type and without (void): which attributes there are is part of a
// shape.
shapes! {
    TypesUnit: Unit, true, [PRODUCER, LANGUAGE, NAME];
    CodeUnit: Unit, true, [PRODUCER, LANGUAGE, NAME, LOW_PC, HIGH_PC];
    Base: Base, false, [NAME, BYTE_SIZE, ENCODING];
    Pointer: Pointer, false, [BYTE_SIZE, TYPE];
    PointerToVoid: Pointer, false, [BYTE_SIZE];
    Const: Const, false, [TYPE];
    ConstVoid: Const, false, [];
    Volatile: Volatile, false, [TYPE];
    VolatileVoid: Volatile, false, [];
    Restrict: Restrict, false, [TYPE];
    RestrictVoid: Restrict, false, [];
    Typedef: Typedef, false, [NAME, TYPE];
    TypedefOfVoid: Typedef, false, [NAME];
    Array: Array, true, [TYPE];
    Length: Subrange, false, [COUNT, TYPE];
    NoLength: Subrange, false, [TYPE];
    PlainLength: Subrange, false, [COUNT];
    PlainNoLength: Subrange, false, [];
    Struct: Structure, true, [NAME, BYTE_SIZE];
    UnnamedStruct: Structure, true, [BYTE_SIZE];
    Union: Union, true, [NAME, BYTE_SIZE];
    UnnamedUnion: Union, true, [BYTE_SIZE];
    StructAhead: Structure, false, [NAME, DECLARATION];
    UnionAhead: Union, false, [NAME, DECLARATION];
    Member: Member, false, [NAME, MEMBER_OFFSET, TYPE];
    UnnamedMember: Member, false, [MEMBER_OFFSET, TYPE];
    BitMember: Member, false, [NAME, BIT_SIZE, BIT_OFFSET, TYPE];
    UnnamedBitMember: Member, false, [BIT_SIZE, BIT_OFFSET, TYPE];
    Enum: Enumeration, true, [NAME, BYTE_SIZE, TYPE];
    UnnamedEnum: Enumeration, true, [BYTE_SIZE, TYPE];
    PlainEnum: Enumeration, true, [NAME, BYTE_SIZE];
    PlainUnnamedEnum: Enumeration, true, [BYTE_SIZE];
    Enumerator: Enumerator, false, [NAME, UNSIGNED_VALUE];
    SignedEnumerator: Enumerator, false, [NAME, SIGNED_VALUE];
    Prototype: Subroutine, true, [PROTOTYPED, TYPE];
    PrototypeOfVoid: Subroutine, true, [PROTOTYPED];
    Parameter: Parameter, false, [NAME, TYPE];
    UnnamedParameter: Parameter, false, [TYPE];
    MoreParameters: MoreParameters, false, [];
    Function: Function, true, [NAME, EXTERNAL, PROTOTYPED, LOW_PC, HIGH_PC, TYPE];
    FunctionOfVoid: Function, true, [NAME, EXTERNAL, PROTOTYPED, LOW_PC, HIGH_PC];
    StaticFunction: Function, true, [NAME, PROTOTYPED, LOW_PC, HIGH_PC, TYPE];
    StaticFunctionOfVoid: Function, true, [NAME, PROTOTYPED, LOW_PC, HIGH_PC];
    Variable: Variable, false, [NAME, EXTERNAL, LOCATION, TYPE];
    StaticVariable: Variable, false, [NAME, LOCATION, TYPE];
    Constant: Variable, false, [NAME, SIGNED_VALUE, TYPE];
}

/// The section: the shapes twice, for references inside a unit and for references to any place of the
/// section; and where the second begins.
pub(super) fn section() -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    table(&mut out, form::REF4);
    let second = out.len();
    table(&mut out, form::REF_ADDR);
    (out, second)
}

fn table(out: &mut Vec<u8>, reference: u8) {
    for (number, (tag, children, attributes)) in (1..).zip(SHAPES) {
        uleb(out, number);
        out.extend([*tag as u8, u8::from(*children)]);
        for (name, form) in *attributes {
            let form = match *form {
                form::REF4 => reference,
                form => form,
            };
            out.extend([*name, form]);
        }
        out.extend([0, 0]);
    }
    out.push(0);
}

impl Shape {
    /// The number that an entry begins with.
    pub(super) fn number(self) -> u64 {
        self as u64 + 1
    }
}

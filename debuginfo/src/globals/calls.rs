//! Types of globals from the code: whoever passes a global's address to a function says its type, since BTF
//! has the functions' prototypes.
//!
//! Facts: the System V ABI for x86_64: the first six arguments are in rdi, rsi, rdx, rcx, r8 and r9; a
//! call changes all but rbx, rbp and r12 to r15. Linux is built with -mcmodel=kernel: an address of the
//! image is `mov $imm32, %reg` or `lea disp(%rip), %reg`. Constants are followed from one instruction to
//! the next; at the target of a jump nothing is known, because the code may come from elsewhere.
//! A function may take a pointer to the first member only (a lock, a `kobject`), so that the type found is
//! believed only where it fills the room up to the next symbol, and where no structure of the same size
//! has it as its first member (`raw_spinlock` in `spinlock`).

use super::names::Names;
use crate::CType;
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use vmcore::kernel::{TypeKind, Types};

/// The largest function that is looked through.
const MAX_FUNCTION: u64 = 1 << 20;
/// Kernel addresses begin here.
const KERNEL: u64 = 0xffff_ffff_8000_0000;
/// gcc puts no object at a larger multiple because of its size alone.
const ALIGN: u64 = 32;

/// The registers of the first six arguments, in order.
const ARGUMENTS: [Register; 6] = [
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::R8,
    Register::R9,
];
/// Registers that a call leaves alone.
const KEPT: [Register; 6] = [
    Register::RBX,
    Register::RBP,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];

/// What the calls in some code say of each address.
#[derive(Default, Debug)]
pub struct Calls {
    /// By address: the types that functions take there a pointer to, each once.
    found: HashMap<u64, Vec<u32>>,
    /// Types that are the whole of another one.
    wrapped: Vec<Arc<HashSet<u32>>>,
}

/// What is known of types before any code is looked at.
#[derive(Default, Debug)]
pub(crate) struct Known {
    /// By address of a function: the types of structures that its parameters point to.
    prototypes: HashMap<u64, Vec<Option<u32>>>,
    /// Types that are the whole of another one.
    wrapped: Arc<HashSet<u32>>,
}

impl Known {
    /// Of the types with these numbers.
    pub(crate) fn of(names: &Names, types: &Types, ids: Range<u32>) -> Self {
        Self {
            prototypes: prototypes(names, types, ids.clone()),
            wrapped: Arc::new(wrapped(types, ids)),
        }
    }
}

impl Calls {
    /// Looks through the code in `text` (ranges of addresses), which `read` reads.
    #[must_use]
    pub fn scan(
        names: &Names,
        text: &[(u64, u64)],
        types: &Types,
        read: &mut dyn FnMut(u64, &mut [u8]) -> bool,
    ) -> Self {
        let known = Known::of(names, types, 1..types.own_ids().end);
        Self::scan_with(names, text, &[&known], read)
    }

    /// As [`Self::scan`], where the types of the kernel and those of a module are looked at apart.
    pub(crate) fn scan_with(
        names: &Names,
        text: &[(u64, u64)],
        known: &[&Known],
        read: &mut dyn FnMut(u64, &mut [u8]) -> bool,
    ) -> Self {
        let mut this = Self {
            found: HashMap::new(),
            wrapped: known
                .iter()
                .map(|known| Arc::clone(&known.wrapped))
                .collect(),
        };
        let parameters = |target: u64| known.iter().find_map(|known| known.prototypes.get(&target));
        let mut code = Vec::new();
        for &(start, end) in text {
            for (at, room) in names.places(start, end) {
                let Ok(len) = usize::try_from(room.min(MAX_FUNCTION)) else {
                    continue;
                };
                code.resize(len, 0);
                if read(at, &mut code) {
                    function(at, &code, |target, address, argument| {
                        let ty = parameters(target)
                            .and_then(|all| all.get(argument))
                            .copied();
                        let Some(ty) = ty.flatten() else { return };
                        let known = this.found.entry(address).or_default();
                        if !known.contains(&ty) {
                            known.push(ty);
                        }
                    });
                }
            }
        }
        this
    }

    /// The type of the object at `address`, which has so much room: the largest type that somebody passes
    /// it as, if that fills the room.
    #[must_use]
    pub fn of(&self, address: u64, room: u64, types: &Types) -> Option<CType> {
        let sized = |id: &u32| Some((types.size(*id).filter(|size| *size > 0)?, *id));
        let known = self.found.get(&address)?.iter().filter_map(sized);
        let (size, id) = known.filter(|(size, _)| *size <= room).max()?;
        let is_wrapped = |id: u32| self.wrapped.iter().any(|wrapped| wrapped.contains(&id));
        let is_whole = types.strip(id).is_some_and(|id| !is_wrapped(id));
        (is_whole && room - size < ALIGN).then_some(CType::Btf(id))
    }

    /// Whether somebody passes the object at `address` as `ty`.
    #[must_use]
    pub fn agree(&self, address: u64, ty: &CType, types: &Types) -> bool {
        let CType::Btf(id) = ty.unqualified() else {
            return false;
        };
        let known = self.found.get(&address);
        known.is_some_and(|known| known.iter().any(|of| types.strip(*of) == types.strip(*id)))
    }
}

/// The structures that are the first member of one that is no larger.
fn wrapped(types: &Types, ids: Range<u32>) -> HashSet<u32> {
    let all = ids.filter_map(|id| {
        let first = types.fields(id).next()?;
        let inner = types.strip(first.member.type_id)?;
        let is_whole = types.size(id) == Some(first.member.size) && inner != id;
        is_whole.then_some(inner)
    });
    all.collect()
}

/// By address of a function: the types of structures that its parameters point to.
fn prototypes(names: &Names, types: &Types, ids: Range<u32>) -> HashMap<u64, Vec<Option<u32>>> {
    let mut all: HashMap<u64, Vec<Option<u32>>> = HashMap::new();
    for record in ids.filter_map(|id| types.record(id)) {
        if record.kind != TypeKind::Func {
            continue;
        }
        let (name, prototype) = (types.string(record.name), record.value);
        // Of several functions of one name it is not known which one BTF means.
        let address = names.address(name);
        let Some(address) = address.filter(|at| names.rank(name, *at).is_none()) else {
            continue;
        };
        let parameters = types.parameters(prototype).take(ARGUMENTS.len());
        let parameters = parameters.map(|id| structure(types, types.pointee(id)?));
        all.insert(address, parameters.collect());
    }
    all
}

/// The structure that a type is, under the name that it has.
fn structure(types: &Types, id: u32) -> Option<u32> {
    let bare = types.strip(id)?;
    if !matches!(types.kind(bare)?, TypeKind::Struct | TypeKind::Union) {
        return None;
    }
    match types.name(bare) {
        "" => Some(id),
        _ => Some(bare),
    }
}

/// Follows the constants in one function; calls `visit` with target, constant and number of the argument.
fn function(start: u64, code: &[u8], mut visit: impl FnMut(u64, u64, usize)) {
    let end = start.wrapping_add(code.len() as u64);
    let mut joins = BTreeSet::new();
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut at = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut at);
        if matches!(flow(&at), Flow::Branch | Flow::Jump) {
            joins.insert(at.near_branch_target());
        }
    }
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut known = Constants::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut at);
        if joins.contains(&at.ip()) {
            known = Constants::default();
        }
        let target = at.near_branch_target();
        let tail = flow(&at) == Flow::Jump && !(start..end).contains(&target);
        if flow(&at) == Flow::Call || tail {
            for (argument, register) in ARGUMENTS.iter().enumerate() {
                if let Some(address) = known.get(*register).filter(|value| *value >= KERNEL) {
                    visit(target, address, argument);
                }
            }
        }
        known.after(&at);
    }
}

/// The constants in registers.
#[derive(Default)]
struct Constants(Vec<(Register, u64)>);

impl Constants {
    fn get(&self, register: Register) -> Option<u64> {
        let found = self.0.iter().find(|(of, _)| *of == register);
        found.map(|(_, value)| *value)
    }

    fn set(&mut self, register: Register, value: Option<u64>) {
        self.0.retain(|(of, _)| *of != register);
        self.0.extend(value.map(|value| (register, value)));
    }

    fn after(&mut self, at: &Instruction) {
        let first = (at.op_count() > 0 && at.op_kind(0) == OpKind::Register)
            .then(|| full(at.op_register(0)));
        match flow(at) {
            Flow::Next => {}
            Flow::Branch => return,
            Flow::Call => {
                self.0.retain(|(of, _)| KEPT.contains(of));
                return;
            }
            // What follows is reached from elsewhere.
            Flow::Jump | Flow::End => return self.0.clear(),
        }
        match (at.mnemonic(), first) {
            (Mnemonic::Mov, Some(to)) => {
                let value = match at.op_kind(1) {
                    OpKind::Immediate32to64 => Some(at.immediate32to64().cast_unsigned()),
                    OpKind::Immediate64 => Some(at.immediate64()),
                    OpKind::Register if at.op_register(0) == to => self.get(at.op_register(1)),
                    _ => None,
                };
                self.set(to, value);
            }
            (Mnemonic::Lea, Some(to)) => {
                let value = at
                    .is_ip_rel_memory_operand()
                    .then(|| at.ip_rel_memory_address());
                self.set(to, value.filter(|_| at.code() == Code::Lea_r64_m));
            }
            (Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push | Mnemonic::Nop, _) => {}
            (mnemonic, first) if writes_first(mnemonic) => {
                if let Some(to) = first {
                    self.set(to, None);
                }
            }
            // What else it writes is not looked up.
            _ => self.0.clear(),
        }
    }
}

/// How an instruction goes on. (iced has a table of its own for this, which would grow the capture binary,
/// where the crate is shared.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flow {
    Next,
    /// A jump on a condition.
    Branch,
    Jump,
    Call,
    /// It does not go on here.
    End,
}

fn flow(at: &Instruction) -> Flow {
    match at.mnemonic() {
        Mnemonic::Call => Flow::Call,
        Mnemonic::Jmp => Flow::Jump,
        Mnemonic::Ret
        | Mnemonic::Int3
        | Mnemonic::Ud2
        | Mnemonic::Iretq
        | Mnemonic::Sysretq
        | Mnemonic::INVALID => Flow::End,
        _ if at.near_branch_target() != 0 => Flow::Branch,
        _ => Flow::Next,
    }
}

/// The general registers, each with its shorter parts.
const PARTS: [[Register; 4]; 16] = {
    use Register as R;
    [
        [R::RAX, R::EAX, R::AX, R::AL],
        [R::RBX, R::EBX, R::BX, R::BL],
        [R::RCX, R::ECX, R::CX, R::CL],
        [R::RDX, R::EDX, R::DX, R::DL],
        [R::RSI, R::ESI, R::SI, R::SIL],
        [R::RDI, R::EDI, R::DI, R::DIL],
        [R::RBP, R::EBP, R::BP, R::BPL],
        [R::RSP, R::ESP, R::SP, R::SPL],
        [R::R8, R::R8D, R::R8W, R::R8L],
        [R::R9, R::R9D, R::R9W, R::R9L],
        [R::R10, R::R10D, R::R10W, R::R10L],
        [R::R11, R::R11D, R::R11W, R::R11L],
        [R::R12, R::R12D, R::R12W, R::R12L],
        [R::R13, R::R13D, R::R13W, R::R13L],
        [R::R14, R::R14D, R::R14W, R::R14L],
        [R::R15, R::R15D, R::R15W, R::R15L],
    ]
};

/// The 64-bit register that another is a part of; AH to DH are nobody's constants.
fn full(register: Register) -> Register {
    let row = PARTS.iter().find(|row| row.contains(&register));
    row.map_or(register, |[full, ..]| *full)
}

/// Instructions that change their first operand and nothing else that matters here.
fn writes_first(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Mov
            | Mnemonic::Movzx
            | Mnemonic::Movsx
            | Mnemonic::Movsxd
            | Mnemonic::Add
            | Mnemonic::Sub
            | Mnemonic::And
            | Mnemonic::Or
            | Mnemonic::Xor
            | Mnemonic::Not
            | Mnemonic::Neg
            | Mnemonic::Inc
            | Mnemonic::Dec
            | Mnemonic::Shl
            | Mnemonic::Shr
            | Mnemonic::Sar
            | Mnemonic::Pop
            | Mnemonic::Bt
            | Mnemonic::Bts
            | Mnemonic::Btr
            | Mnemonic::Sete
            | Mnemonic::Setne
            | Mnemonic::Cmove
            | Mnemonic::Cmovne
    )
}

#[cfg(test)]
mod tests;

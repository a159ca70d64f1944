//! Types in C's words, as DWARF readers print them.
//!
//! A declaration without a name: qualifiers and a base type, then pointers, arrays and parameters around
//! the place where the name would be. A struct without a name is written `struct {first,second}`. drgn writes `int (*[8])(void)`, gdb `int (*[8])(void)` as well;
//! blanks between the parts do not count.

use super::{CType, MAX_DEPTH};
use vmcore::kernel::{TypeKind, Types};

/// Longer than any type's words in a kernel.
const MAX_TEXT: usize = 1024;

/// What compilers call the integer types in debug information, by what people call them.
const INTEGERS: [(&str, &str); 12] = [
    ("long", "long int"),
    ("unsigned long", "long unsigned int"),
    ("unsigned long int", "long unsigned int"),
    ("long long", "long long int"),
    ("unsigned long long", "long long unsigned int"),
    ("unsigned long long int", "long long unsigned int"),
    ("short", "short int"),
    ("unsigned short", "short unsigned int"),
    ("unsigned short int", "short unsigned int"),
    ("unsigned", "unsigned int"),
    ("signed int", "int"),
    ("bool", "_Bool"),
];

pub(super) fn parse(text: &str, types: &Types) -> Option<CType> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let tokens = tokens(text)?;
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        types,
    };
    let ty = reader.declaration(MAX_DEPTH)?;
    (reader.at == tokens.len()).then_some(ty)
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token<'a> {
    Word(&'a str),
    /// One of `* ( ) [ ] { } ,`.
    Mark(char),
    /// `...`
    More,
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut rest = text.trim_start();
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let taken = if "*()[]{},".contains(first) {
            tokens.push(Token::Mark(first));
            1
        } else if rest.starts_with("...") {
            tokens.push(Token::More);
            3
        } else {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let len = rest.find(|c| !word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(
                rest.get(..len).filter(|word| !word.is_empty())?,
            ));
            len
        };
        rest = rest.get(taken..)?.trim_start();
    }
    Some(tokens)
}

/// What stands around the name, from the name outwards.
enum Layer {
    Pointer,
    Array(Option<u64>),
    Const,
    Volatile,
    Function(Vec<CType>, bool),
}

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    types: &'a Types,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a Token<'a>> {
        self.tokens.get(self.at)
    }

    fn mark(&mut self, mark: char) -> Option<()> {
        (self.peek()? == &Token::Mark(mark)).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        (self.peek()? == &Token::Word(word)).then(|| self.at += 1)
    }

    fn declaration(&mut self, depth: u32) -> Option<CType> {
        let depth = depth.checked_sub(1)?;
        let mut ty = self.base()?;
        for layer in self.around(depth)?.into_iter().rev() {
            ty = match layer {
                Layer::Pointer => CType::Pointer(Box::new(ty)),
                Layer::Array(count) => CType::Array(Box::new(ty), count),
                Layer::Const => CType::Const(Box::new(ty)),
                Layer::Volatile => CType::Volatile(Box::new(ty)),
                Layer::Function(parameters, more) => {
                    CType::Function(Box::new(ty), parameters, more)
                }
            };
        }
        Some(ty)
    }

    /// Qualifiers, and the words of the base type.
    fn base(&mut self) -> Option<CType> {
        let (mut is_const, mut is_volatile) = (false, false);
        let mut words: Vec<&str> = Vec::new();
        while let Some(Token::Word(word)) = self.peek() {
            self.at += 1;
            match *word {
                "const" => is_const = true,
                "volatile" => is_volatile = true,
                "restrict" => {}
                word => words.push(word),
            }
        }
        let kind = match words.as_slice() {
            ["struct"] => Some(TypeKind::Struct),
            ["union"] => Some(TypeKind::Union),
            _ => None,
        };
        let id = match kind {
            Some(kind) => self.unnamed(kind)?,
            None => self.named(&words.join(" "))?,
        };
        let mut ty = CType::Btf(id);
        if is_volatile {
            ty = CType::Volatile(Box::new(ty));
        }
        if is_const {
            ty = CType::Const(Box::new(ty));
        }
        Some(ty)
    }

    /// `{first,second}` behind `struct` or `union`: the one without a name that has these members.
    fn unnamed(&mut self, kind: TypeKind) -> Option<u32> {
        self.mark('{')?;
        let mut members = Vec::new();
        while let Some(Token::Word(name)) = self.peek() {
            self.at += 1;
            members.push(*name);
            if self.mark(',').is_none() {
                break;
            }
        }
        self.mark('}')?;
        let types = self.types;
        let is = |&id: &u32| {
            let record = types.record(id);
            let alike = record.is_some_and(|record| {
                record.kind == kind && record.name == 0 && record.vlen == members.len()
            });
            alike
                && types
                    .fields(id)
                    .map(|field| field.name)
                    .eq(members.iter().copied())
        };
        let mut found = types.own_ids().filter(is);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    fn named(&self, name: &str) -> Option<u32> {
        if name == "void" {
            return Some(0);
        }
        let tagged = ["struct ", "union ", "enum "];
        if tagged.iter().any(|tag| name.starts_with(tag)) {
            return self.types.find_type(name);
        }
        let name = INTEGERS
            .iter()
            .find_map(|(said, has)| (*said == name).then_some(*has))
            .filter(|has| self.types.find_type(has).is_some())
            .unwrap_or(name);
        // A bare name is a typedef or a basic type, never the tag of a struct.
        self.types.find_all(name).find(|&id| {
            matches!(
                self.types.kind(id),
                Some(TypeKind::Typedef | TypeKind::Int | TypeKind::Float)
            )
        })
    }

    /// The layers around the name, innermost first.
    fn around(&mut self, depth: u32) -> Option<Vec<Layer>> {
        let depth = depth.checked_sub(1)?;
        let mut before = Vec::new();
        while self.mark('*').is_some() {
            before.push(Layer::Pointer);
            loop {
                if self.word("const").is_some() {
                    before.push(Layer::Const);
                } else if self.word("volatile").is_some() {
                    before.push(Layer::Volatile);
                } else if self.word("restrict").is_none() {
                    break;
                }
            }
        }
        let mut layers = Vec::new();
        if self.is_nested() {
            self.mark('(')?;
            layers = self.around(depth)?;
            self.mark(')')?;
        }
        loop {
            if self.mark('[').is_some() {
                let count = match self.peek()? {
                    Token::Word(digits) => {
                        self.at += 1;
                        Some(digits.parse().ok()?)
                    }
                    _ => None,
                };
                self.mark(']')?;
                layers.push(Layer::Array(count));
            } else if self.mark('(').is_some() {
                let (parameters, more) = self.parameters(depth)?;
                layers.push(Layer::Function(parameters, more));
            } else {
                break;
            }
        }
        layers.extend(before.into_iter().rev());
        Some(layers)
    }

    /// Whether a `(` opens a declarator and not parameters.
    fn is_nested(&self) -> bool {
        let next = self.tokens.get(self.at.saturating_add(1));
        self.peek() == Some(&Token::Mark('(')) && matches!(next, Some(Token::Mark('*' | '(' | '[')))
    }

    /// Up to the `)`: each parameter, and whether more may follow.
    fn parameters(&mut self, depth: u32) -> Option<(Vec<CType>, bool)> {
        let mut parameters = Vec::new();
        if self.mark(')').is_some() {
            return Some((parameters, false));
        }
        loop {
            if self.peek() == Some(&Token::More) {
                self.at += 1;
                self.mark(')')?;
                return Some((parameters, true));
            }
            parameters.push(self.declaration(depth)?);
            if self.mark(')').is_some() {
                break;
            }
            self.mark(',')?;
        }
        if parameters == [CType::Btf(0)] {
            parameters.clear();
        }
        Some((parameters, false))
    }
}

//! The types of the details, as JSON has them.

use super::code::CodeAt;
use super::cpus::CpuState;
use super::registers::Register;
use super::saved::Saved;
use super::sysctls::Sysctl;
use crate::report::model::Report;
use crate::tasks::Task;
use serde::{Deserialize, Serialize};

/// A report with its details.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Full {
    /// The report.
    #[serde(flatten)]
    pub report: Report,
    /// The details.
    #[serde(flatten)]
    pub details: Details,
}

impl From<Report> for Full {
    fn from(report: Report) -> Self {
        Self {
            report,
            details: Details::default(),
        }
    }
}

/// The details of a report.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Details {
    /// The function at fault, disassembled around the instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeAt>,
    /// The registers of the report and what they point to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registers: Option<Vec<Register>>,
    /// Where each CPU stood, by the registers that it saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_states: Option<Vec<CpuState>>,
    /// The tasks, one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_list: Option<Vec<Task>>,
    /// Settings that decide when a kernel panics, and how it uses memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sysctls: Option<Vec<Sysctl>>,
    /// The log, oldest line first; of a long one the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Vec<LogLine>>,
    /// How the core was saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Saved>,
}

/// One line of the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogLine {
    /// Nanoseconds since boot; absent in a log without times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns: Option<u64>,
    /// 0 (emergency) to 7 (debug), where the log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    /// Who printed it: `C1` a CPU, `T212` a task; absent where the kernel does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The text.
    pub text: String,
}

//! Everything that needs no broker of its own: the tree's rules, the HTTP contract, the journal's model, the mock Kafka.

mod command;
mod dead_letter_commands;
mod durability_table;
mod http2;
mod http_contract;
mod journal_commands;
mod journal_damage;
mod journal_drain;
mod journal_faults;
mod journal_hostile;
mod journal_identity;
mod journal_inspect;
mod journal_inspect_disk;
mod journal_inspect_race;
mod journal_model;
mod journal_positions;
mod journal_queue;
mod journal_removal;
mod journal_tail;
mod journal_unreadable;
mod logs;
mod metrics_table;
mod priorities;
mod prove;
mod support;
mod tidy;

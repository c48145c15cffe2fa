//! dtgate: the policy gate in front of the Dynatrace API.

pub mod admin;
pub mod app;
pub mod audit;
pub mod cli;
pub mod config;
pub mod dynatrace;
pub mod gateway;
pub mod guard;
pub mod listener;
pub mod policy;
pub mod simulate;
pub mod telemetry;
pub mod value;

//! stand-in
use super::{FieldPath, FieldPolicy, Value};
/// x
#[derive(Debug, Clone, Default)]
pub struct SecretRules;
/// x
#[derive(Debug, Clone)]
pub struct SecretHit {
    /// x
    pub path: FieldPath,
    /// x
    pub rule: String,
}
impl SecretRules {
    /// x
    pub fn scan(&self, _: &Value, _: &FieldPolicy) -> Vec<SecretHit> {
        Vec::new()
    }
    /// x
    pub fn scan_text(&self, _: &str) -> Option<SecretHit> {
        None
    }
}

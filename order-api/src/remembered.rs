//! A bounded memory: two generations, so that it never grows past its limit and what is in use
//! stays.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

pub(crate) struct Remembered<K, V> {
    generation_max: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    /// Remembers at most `entries_max`.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            generation_max: (entries_max / 2).max(1),
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// The value of the key; it counts as used.
    pub(crate) fn get<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_the_rest_is_forgotten() {
        let mut remembered: Remembered<String, ()> = Remembered::new(4);
        remembered.insert("used".into(), ());
        for number in 0..100 {
            remembered.insert(format!("once-{number}"), ());
            assert!(remembered.get("used").is_some());
        }
        assert!(remembered.get("once-0").is_none());
        assert!(remembered.young.len() + remembered.old.len() <= 4);
    }
}

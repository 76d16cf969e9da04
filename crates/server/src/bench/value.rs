//! The values that are written: slices of one pool of random letters, or small JSON documents.
//!
//! Random rather than one repeated letter, so that a server that compresses gains no more than it would on real data.
//! All are made before the run: choosing one costs two draws and no allocation.

use super::random::Random;

/// Letters are drawn from a pool this much larger than a value.
const POOL_BYTES: usize = 1 << 20;

/// How many different JSON documents there are.
const DOCUMENTS: usize = 2_048;

/// Where values come from.
#[derive(Debug, Clone)]
pub enum Values {
    /// Slices of `size` bytes of a pool of letters.
    Letters {
        /// The pool.
        pool: Vec<u8>,
        /// Bytes of one value.
        size: usize,
    },
    /// One of some ready documents.
    Documents(Vec<Vec<u8>>),
}

impl Values {
    /// Values of exactly `size` random letters and digits.
    pub fn letters(size: usize, random: &mut Random) -> Values {
        const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
        let pool = (0..POOL_BYTES + size)
            .map(|_| ALPHABET[random.below(64) as usize])
            .collect();
        Values::Letters { pool, size }
    }

    /// JSON documents like those of a shop's profile store, of about `size` bytes each.
    pub fn json(size: usize, random: &mut Random) -> Values {
        Values::Documents((0..DOCUMENTS).map(|_| document(size, random)).collect())
    }

    /// One of the values.
    pub fn draw(&self, random: &mut Random) -> &[u8] {
        match self {
            Values::Letters { pool, size } => {
                let start = random.below((pool.len() - size) as u64 + 1) as usize;
                &pool[start..start + size]
            }
            Values::Documents(documents) => &documents[random.below(documents.len() as u64) as usize],
        }
    }
}

const FIRST_NAMES: [&str; 12] = [
    "Ada", "Amira", "Bo", "Chen", "Dmitri", "Elif", "Femi", "Grace", "Hiro", "Ines", "Jomo", "Katya",
];
const LAST_NAMES: [&str; 12] = [
    "Lovelace", "Haddad", "Larsen", "Wei", "Ivanov", "Yilmaz", "Okafor", "Hopper", "Tanaka", "Costa", "Kamau", "Novak",
];
const CITIES: [&str; 10] = [
    "Lisbon", "Nairobi", "Osaka", "Toronto", "Berlin", "Lagos", "Hanoi", "Quito", "Tromsø", "Pune",
];
const GOODS: [&str; 10] = [
    "kettle",
    "bicycle",
    "notebook",
    "lamp",
    "backpack",
    "headphones",
    "teapot",
    "desk",
    "umbrella",
    "lens",
];

fn pick<'a>(choices: &[&'a str], random: &mut Random) -> &'a str {
    choices[random.below(choices.len() as u64) as usize]
}

fn document(size: usize, random: &mut Random) -> Vec<u8> {
    let (first, last) = (pick(&FIRST_NAMES, random), pick(&LAST_NAMES, random));
    let mut text = format!(
        r#"{{"id":"{:016x}","name":"{first} {last}","email":"{}.{}{}@example.com","city":"{}","created_at":"20{:02}-{:02}-{:02}T{:02}:{:02}:{:02}Z","verified":{},"items":["#,
        random.next(),
        first.to_lowercase(),
        last.to_lowercase(),
        random.below(10_000),
        pick(&CITIES, random),
        10 + random.below(16),
        1 + random.below(12),
        1 + random.below(28),
        random.below(24),
        random.below(60),
        random.below(60),
        random.below(2) == 0,
    );
    let mut separator = "";
    while separator.is_empty() || text.len() + 90 < size {
        text.push_str(&format!(
            r#"{separator}{{"sku":"{:08x}","name":"{}","quantity":{},"price":{}.{:02}}}"#,
            random.next() as u32,
            pick(&GOODS, random),
            1 + random.below(9),
            1 + random.below(500),
            random.below(100),
        ));
        separator = ",";
    }
    text.push_str("]}");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::Values;

    #[test]
    fn letters_have_the_size_asked_for_and_differ() {
        let mut random = Random::new(1);
        for size in [0, 1, 100, 1 << 20] {
            let values = Values::letters(size, &mut random);
            let first = values.draw(&mut random).to_vec();
            assert_eq!(first.len(), size);
            if size >= 100 {
                assert_ne!(first, values.draw(&mut random));
            }
        }
    }

    #[test]
    fn documents_are_json_of_about_the_size_asked_for() {
        let mut random = Random::new(2);
        for size in [400, 2_000, 10_000] {
            let values = Values::json(size, &mut random);
            let mut total = 0;
            for _ in 0..200 {
                let value = values.draw(&mut random);
                total += value.len();
                let parsed: serde_json::Value = serde_json::from_slice(value).expect("a document is JSON");
                assert!(parsed["items"].as_array().is_some_and(|items| !items.is_empty()));
            }
            let mean = total / 200;
            assert!(mean * 10 > size * 8 && mean * 10 < size * 12, "{mean} for {size}");
        }
    }
}

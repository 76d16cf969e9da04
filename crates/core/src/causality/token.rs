//! The form in which a context travels to clients and back: opaque, versioned, checksummed. Base64url without padding of
//!
//! ```text
//! | version u8 | kind u8: 0 dots, 1 clock | dots: actors and single dots as in `codec::v1`; clock: hlc u64 LE | CRC32C u32 LE |
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use smallvec::SmallVec;

use crate::causality::{Context, codec};
use crate::cursor::{Cursor, Malformed, crc32c};
use crate::limits::CONTEXT_TOKEN_CHARS_MAX;
use crate::time::Hlc;

const VERSION: u8 = 1;
const KIND_DOTS: u8 = 0;
const KIND_CLOCK: u8 = 1;
const CHECKSUM_BYTES: usize = 4;
/// No actor mints this often. A client that claims it makes tokens of its own, and would leave its victim's next dot no
/// number to take.
const COUNTER_MAX: u64 = 1 << 56;
const RAW_BYTES_MAX: usize = CONTEXT_TOKEN_CHARS_MAX / 4 * 3;

/// What a client has seen of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientContext {
    /// Of a `siblings` bucket: exactly these dots.
    Dots(Context),
    /// Of an `lww` bucket: the highest clock seen (RULINGS 5).
    Clock(Hlc),
}

/// Why a token is no context. The client's mistake; nothing was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`CONTEXT_TOKEN_CHARS_MAX`].
    #[error("the context is longer than {CONTEXT_TOKEN_CHARS_MAX} characters")]
    TooLong,
    /// Not base64url without padding.
    #[error("the context is not base64url without padding")]
    NotBase64,
    /// Given out by a version of Torc that this node does not know.
    #[error("the context has version {0}, which this node does not know")]
    BadVersion(u8),
    /// Some character was changed or lost on the way.
    #[error("the context is damaged: its checksum does not match")]
    BadChecksum,
    /// The checksum matches, but no node of Torc made this.
    #[error("the context is malformed")]
    Malformed,
}

impl From<Malformed> for TokenError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The token of `context`. One of more than about 190 actors is longer than [`decode`] accepts; pruning (RULINGS 3) keeps
/// contexts far below that.
#[must_use]
pub fn encode(context: &ClientContext) -> String {
    let mut token = String::new();
    encode_into(context, &mut token);
    token
}

/// Appends the token of `context` to `out`.
pub fn encode_into(context: &ClientContext, out: &mut String) {
    let mut raw: SmallVec<[u8; 128]> = SmallVec::new();
    push_raw(context, &mut raw);
    URL_SAFE_NO_PAD.encode_string(raw, out);
}

/// Reads a token.
///
/// # Errors
/// [`TokenError`], by cause.
pub fn decode(token: impl AsRef<[u8]>) -> Result<ClientContext, TokenError> {
    let token = token.as_ref();
    if token.len() > CONTEXT_TOKEN_CHARS_MAX {
        return Err(TokenError::TooLong);
    }
    let mut raw = [0_u8; RAW_BYTES_MAX];
    let length = URL_SAFE_NO_PAD
        .decode_slice(token, &mut raw)
        .map_err(|_| TokenError::NotBase64)?;
    from_raw(&raw[..length])
}

/// Appends the bytes that the token spells; forwarded commands carry them as they are.
pub(crate) fn push_raw(context: &ClientContext, out: &mut SmallVec<[u8; 128]>) {
    let start = out.len();
    match context {
        ClientContext::Clock(hlc) => {
            out.extend_from_slice(&[VERSION, KIND_CLOCK]);
            out.extend_from_slice(&hlc.0.to_le_bytes());
        }
        ClientContext::Dots(context) => {
            out.extend_from_slice(&[VERSION, KIND_DOTS]);
            let actors = codec::v1::actors_of(context, std::iter::empty());
            codec::v1::push_context(context, &actors, out);
        }
    }
    let checksum = crc32c(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Reads what [`push_raw`] wrote.
pub(crate) fn from_raw(raw: &[u8]) -> Result<ClientContext, TokenError> {
    let version = *raw.first().ok_or(TokenError::Malformed)?;
    if version != VERSION {
        return Err(TokenError::BadVersion(version));
    }
    let end = raw
        .len()
        .checked_sub(CHECKSUM_BYTES)
        .filter(|&end| end >= 2)
        .ok_or(TokenError::Malformed)?;
    if crc32c(&raw[..end]).to_le_bytes() != raw[end..] {
        return Err(TokenError::BadChecksum);
    }
    let mut cursor = Cursor::new(&raw[2..end]);
    let context = match raw[1] {
        KIND_CLOCK => ClientContext::Clock(Hlc(cursor.u64()?)),
        KIND_DOTS => {
            let (context, table) = codec::v1::read_context(&mut cursor)?;
            let vector = context.vector().iter().map(|entry| entry.1);
            let is_minted = vector
                .chain(context.dots().iter().map(|dot| dot.counter))
                .all(|top| top <= COUNTER_MAX);
            if table.used.contains(&false) || !is_minted {
                return Err(TokenError::Malformed);
            }
            ClientContext::Dots(context)
        }
        _ => return Err(TokenError::Malformed),
    };
    if cursor.left() == 0 {
        Ok(context)
    } else {
        Err(TokenError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::causality::Dot;
    use crate::causality::arbitrary::client_context;
    use crate::id::{ActorId, Life, NodeId};

    fn golden() -> ClientContext {
        let actor = |node| ActorId {
            node: NodeId(node),
            life: Life(0x0102_0304_0506_0708),
            birth: 300,
        };
        ClientContext::Dots(Context::from_parts(
            [(actor(1), 2)],
            [Dot {
                actor: actor(2),
                counter: 5,
            }],
        ))
    }

    fn sealed(raw: &[u8]) -> String {
        let mut raw = raw.to_vec();
        raw.extend_from_slice(&crc32c(&raw).to_le_bytes());
        URL_SAFE_NO_PAD.encode(raw)
    }

    #[test]
    fn tokens_have_these_characters_for_ever() {
        assert_eq!(
            encode(&ClientContext::Clock(Hlc(0x0102_0304_0506_0708))),
            "AQEIBwYFBAMCARDtZHY"
        );
        assert_eq!(
            encode(&golden()),
            "AQACAQAAAAgHBgUEAwIBrAICAgAAAAgHBgUEAwIBrAIAAQEFUipOdg"
        );
        assert_eq!(encode(&ClientContext::Dots(Context::new())), "AQAAAH_hIpU");
        for context in [ClientContext::Clock(Hlc(0x0102_0304_0506_0708)), golden()] {
            assert_eq!(decode(encode(&context)), Ok(context));
        }
    }

    #[test]
    fn a_token_is_refused_by_cause() {
        let token = encode(&golden());
        assert_eq!(
            decode("a".repeat(CONTEXT_TOKEN_CHARS_MAX + 1)),
            Err(TokenError::TooLong)
        );
        assert_eq!(decode(format!("{token}=")), Err(TokenError::NotBase64));
        assert_eq!(decode("not a token!"), Err(TokenError::NotBase64));
        assert_eq!(decode(""), Err(TokenError::Malformed));
        assert_eq!(
            decode(sealed(&[2, KIND_CLOCK, 0, 0, 0, 0, 0, 0, 0, 0])),
            Err(TokenError::BadVersion(2))
        );
        assert_eq!(decode(token.replacen('g', "h", 1)), Err(TokenError::BadChecksum));
        assert_eq!(decode(sealed(&[VERSION, 9])), Err(TokenError::Malformed));
        assert_eq!(
            decode(sealed(&[VERSION, KIND_CLOCK, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
            Err(TokenError::Malformed)
        );
        assert_eq!(
            decode(sealed(&[VERSION, KIND_DOTS, 0xff, 0xff, 0xff, 0xff, 0x0f])),
            Err(TokenError::Malformed)
        );
    }

    #[test]
    fn a_counter_that_nobody_minted_is_refused() {
        let actor = ActorId {
            node: NodeId(1),
            life: Life(2),
            birth: 0,
        };
        let token = |top| encode(&ClientContext::Dots(Context::from_parts([(actor, top)], [])));
        assert!(decode(token(COUNTER_MAX)).is_ok());
        assert_eq!(decode(token(u64::MAX)), Err(TokenError::Malformed));
    }

    #[test]
    fn a_context_at_its_bound_fits_into_a_token() {
        let entries = crate::limits::CONTEXT_ENTRIES_MAX as u32 + 10;
        let actor = |node| ActorId {
            node: NodeId(node),
            life: Life(u64::MAX),
            birth: u64::from(u32::MAX),
        };
        let context = Context::from_parts(
            [],
            (0..entries).map(|i| Dot {
                actor: actor(i),
                counter: 1 << 40,
            }),
        );
        let token = encode(&ClientContext::Dots(context));
        assert!(token.len() <= CONTEXT_TOKEN_CHARS_MAX, "{} characters", token.len());
    }

    proptest! {
        #[test]
        fn a_token_gives_its_context_back(context in client_context()) {
            prop_assert_eq!(decode(encode(&context)), Ok(context));
        }

        #[test]
        fn one_changed_character_never_gives_another_context(context in client_context(), at: prop::sample::Index, to in "[A-Za-z0-9_-]") {
            let token = encode(&context);
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != token);
            prop_assert!(decode(&changed).is_err());
        }

        #[test]
        fn no_characters_panic(token in prop_oneof!["[A-Za-z0-9_-]{0,80}", "\\PC{0,40}"]) {
            let _ = decode(&token);
        }

        #[test]
        fn no_sealed_bytes_panic_and_each_context_has_one_token(raw in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..80), kind in 0_u8..3) {
            let mut bytes = vec![VERSION, kind];
            bytes.extend_from_slice(&raw);
            let token = sealed(&bytes);
            if let Ok(context) = decode(&token) {
                prop_assert_eq!(encode(&context), token);
            }
        }
    }
}

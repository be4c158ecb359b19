//! The binary form of plain data: numbers as varints, lists behind their length, variants behind their number.

use super::{ReplayError, stream::Framing};
use crate::{
    time::{Duration, Instant},
    util::Key,
};
use alloc::{boxed::Box, collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use bytes::Bytes;
use core::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    num::NonZeroU64,
};
use smallvec::SmallVec;

/// Where a form is written.
pub(super) struct Writer<'a> {
    pub(super) bytes: &'a mut Vec<u8>,
    /// What of the stream that is written about is payload.
    pub(super) framing: &'a mut Framing,
}

/// What has a binary form.
pub(super) trait Form: Sized {
    /// Appends the form.
    fn put(&self, to: &mut Writer<'_>);
    /// Reads what [`Form::put`] wrote.
    fn take(from: &mut Reader) -> Result<Self, ReplayError>;
}

/// What is left to read.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    rest: Bytes,
    /// Bytes that there were at first.
    length: usize,
}

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Reader {
        Reader { length: bytes.len(), rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next bytes; nothing is allocated for them.
    pub(super) fn bytes(&mut self, length: usize) -> Result<Bytes, ReplayError> {
        if length > self.rest.len() {
            return Err(ReplayError::Truncated);
        }
        Ok(self.rest.split_to(length))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReplayError> {
        let bytes = self.bytes(N)?;
        <[u8; N]>::try_from(&bytes[..]).map_err(|_| self.corrupt())
    }

    pub(super) fn byte(&mut self) -> Result<u8, ReplayError> {
        self.array().map(|[byte]| byte)
    }

    /// What is here cannot stand in a recording.
    pub(super) fn corrupt(&self) -> ReplayError {
        ReplayError::Corrupt { offset: self.length.saturating_sub(self.rest.len()) }
    }
}

/// The form of a struct or an enum from one list of its fields or numbered variants. The list must be complete to compile, so that
/// what is added cannot be forgotten; numbers that were ever recorded are for ever. `field as module` leaves a field to the functions
/// `put` and `take` of that module.
macro_rules! form {
    (struct $name:ident { $($field:ident),* $(,)? }) => {
        impl Form for $name {
            fn put(&self, to: &mut Writer<'_>) {
                let $name { $($field),* } = self;
                $($field.put(to);)*
            }

            fn take(from: &mut Reader) -> Result<$name, ReplayError> {
                $(let $field = Form::take(from)?;)*
                Ok($name { $($field),* })
            }
        }
    };
    (enum $name:ident { $($number:literal => $variant:ident $(($($item:ident $(as $item_form:ident)?),*))?
        $({ $($field:ident $(as $form:ident)?),* })?),* $(,)? }) => {
        impl Form for $name {
            fn put(&self, to: &mut Writer<'_>) {
                match self {
                    $($name::$variant $(($($item),*))? $({ $($field),* })? => {
                        to.bytes.push($number);
                        $($(form!(put $item to $($item_form)?);)*)?
                        $($(form!(put $field to $($form)?);)*)?
                    })*
                }
            }

            fn take(from: &mut Reader) -> Result<$name, ReplayError> {
                Ok(match from.byte()? {
                    $($number => {
                        $($(let $item = form!(take from $($item_form)?);)*)?
                        $($(let $field = form!(take from $($form)?);)*)?
                        $name::$variant $(($($item),*))? $({ $($field),* })?
                    })*
                    _ => return Err(from.corrupt()),
                })
            }
        }
    };
    (put $field:ident $to:ident) => { $field.put($to) };
    (put $field:ident $to:ident $form:ident) => { $form::put($field, $to) };
    (take $from:ident) => { Form::take($from)? };
    (take $from:ident $form:ident) => { $form::take($from)? };
}

pub(super) use form;

impl Form for u64 {
    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn put(&self, to: &mut Writer<'_>) {
        let mut rest = *self;
        while rest >= 0x80 {
            to.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        to.bytes.push(rest as u8);
    }

    fn take(from: &mut Reader) -> Result<u64, ReplayError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = from.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(from.corrupt())
    }
}

macro_rules! form_as_u64 {
    ($($number:ty),*) => {$(
        impl Form for $number {
            #[allow(clippy::cast_lossless, reason = "usize has no From, and no platform has a longer one")]
            fn put(&self, to: &mut Writer<'_>) {
                (*self as u64).put(to);
            }

            fn take(from: &mut Reader) -> Result<$number, ReplayError> {
                <$number>::try_from(u64::take(from)?).map_err(|_| from.corrupt())
            }
        }
    )*};
}

form_as_u64!(u8, u16, u32, usize);

impl Form for i64 {
    /// Small numbers of either sign are short.
    fn put(&self, to: &mut Writer<'_>) {
        ((*self << 1) ^ (*self >> 63)).cast_unsigned().put(to);
    }

    fn take(from: &mut Reader) -> Result<i64, ReplayError> {
        let number = u64::take(from)?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

impl Form for NonZeroU64 {
    fn put(&self, to: &mut Writer<'_>) {
        self.get().put(to);
    }

    fn take(from: &mut Reader) -> Result<NonZeroU64, ReplayError> {
        NonZeroU64::new(u64::take(from)?).ok_or_else(|| from.corrupt())
    }
}

impl Form for bool {
    fn put(&self, to: &mut Writer<'_>) {
        to.bytes.push((*self).into());
    }

    fn take(from: &mut Reader) -> Result<bool, ReplayError> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(from.corrupt()),
        }
    }
}

impl Form for () {
    fn put(&self, _to: &mut Writer<'_>) {}

    fn take(_from: &mut Reader) -> Result<(), ReplayError> {
        Ok(())
    }
}

impl<const N: usize> Form for [u8; N] {
    fn put(&self, to: &mut Writer<'_>) {
        to.bytes.extend_from_slice(self);
    }

    fn take(from: &mut Reader) -> Result<[u8; N], ReplayError> {
        from.array()
    }
}

/// Writes bytes behind their number.
pub(super) fn put_bytes(bytes: &[u8], to: &mut Writer<'_>) {
    bytes.len().put(to);
    to.bytes.extend_from_slice(bytes);
}

impl Form for Bytes {
    fn put(&self, to: &mut Writer<'_>) {
        put_bytes(self, to);
    }

    fn take(from: &mut Reader) -> Result<Bytes, ReplayError> {
        let length = usize::take(from)?;
        from.bytes(length)
    }
}

impl Form for String {
    fn put(&self, to: &mut Writer<'_>) {
        put_bytes(self.as_bytes(), to);
    }

    fn take(from: &mut Reader) -> Result<String, ReplayError> {
        let bytes = Bytes::take(from)?;
        core::str::from_utf8(&bytes).map(String::from).map_err(|_| from.corrupt())
    }
}

/// Writes items behind their number.
pub(super) fn put_all<T: Form>(items: &[T], to: &mut Writer<'_>) {
    items.len().put(to);
    items.iter().for_each(|item| item.put(to));
}

impl<T: Form> Form for Vec<T> {
    fn put(&self, to: &mut Writer<'_>) {
        put_all(self, to);
    }

    /// Grows with what is really there, whatever length is announced: each item takes a byte at least.
    fn take(from: &mut Reader) -> Result<Vec<T>, ReplayError> {
        (0..u64::take(from)?).map(|_| T::take(from)).collect()
    }
}

impl<T: Form> Form for Option<T> {
    fn put(&self, to: &mut Writer<'_>) {
        self.is_some().put(to);
        self.iter().for_each(|value| value.put(to));
    }

    fn take(from: &mut Reader) -> Result<Option<T>, ReplayError> {
        Ok(if bool::take(from)? { Some(T::take(from)?) } else { None })
    }
}

impl<T: Form, E: Form> Form for Result<T, E> {
    fn put(&self, to: &mut Writer<'_>) {
        self.is_err().put(to);
        match self {
            Ok(value) => value.put(to),
            Err(error) => error.put(to),
        }
    }

    fn take(from: &mut Reader) -> Result<Result<T, E>, ReplayError> {
        Ok(if bool::take(from)? { Err(E::take(from)?) } else { Ok(T::take(from)?) })
    }
}

impl<T: Form> Form for Box<T> {
    fn put(&self, to: &mut Writer<'_>) {
        (**self).put(to);
    }

    fn take(from: &mut Reader) -> Result<Box<T>, ReplayError> {
        T::take(from).map(Box::new)
    }
}

impl<K: Form + Ord, V: Form> Form for BTreeMap<K, V> {
    fn put(&self, to: &mut Writer<'_>) {
        self.len().put(to);
        for (key, value) in self {
            key.put(to);
            value.put(to);
        }
    }

    fn take(from: &mut Reader) -> Result<BTreeMap<K, V>, ReplayError> {
        (0..u64::take(from)?).map(|_| Ok((Form::take(from)?, Form::take(from)?))).collect()
    }
}

impl<K> Form for Key<K> {
    /// The place before the generation: both are small.
    fn put(&self, to: &mut Writer<'_>) {
        (self.to_bits() as u32).put(to);
        ((self.to_bits() >> 32) as u32).put(to);
    }

    fn take(from: &mut Reader) -> Result<Key<K>, ReplayError> {
        let (index, generation) = (u32::take(from)?, u32::take(from)?);
        Ok(Key::from_bits(u64::from(generation) << 32 | u64::from(index)))
    }
}

impl Form for Instant {
    fn put(&self, to: &mut Writer<'_>) {
        self.as_micros().put(to);
    }

    fn take(from: &mut Reader) -> Result<Instant, ReplayError> {
        u64::take(from).map(Instant::from_micros)
    }
}

impl Form for Duration {
    fn put(&self, to: &mut Writer<'_>) {
        self.as_secs().put(to);
        self.subsec_nanos().put(to);
    }

    fn take(from: &mut Reader) -> Result<Duration, ReplayError> {
        let (seconds, nanos) = (u64::take(from)?, u32::take(from)?);
        if nanos >= 1_000_000_000 {
            return Err(from.corrupt());
        }
        Ok(Duration::new(seconds, nanos))
    }
}

impl Form for SocketAddr {
    fn put(&self, to: &mut Writer<'_>) {
        self.is_ipv6().put(to);
        match self {
            SocketAddr::V4(address) => address.ip().octets().put(to),
            SocketAddr::V6(address) => {
                address.ip().octets().put(to);
                address.flowinfo().put(to);
                address.scope_id().put(to);
            }
        }
        self.port().put(to);
    }

    fn take(from: &mut Reader) -> Result<SocketAddr, ReplayError> {
        Ok(if bool::take(from)? {
            let (ip, flow, scope) = (Ipv6Addr::from(from.array::<16>()?), u32::take(from)?, u32::take(from)?);
            SocketAddrV6::new(ip, u16::take(from)?, flow, scope).into()
        } else {
            SocketAddrV4::new(Ipv4Addr::from(from.array::<4>()?), u16::take(from)?).into()
        })
    }
}

impl<T: Form> Form for Arc<T> {
    fn put(&self, to: &mut Writer<'_>) {
        (**self).put(to);
    }

    fn take(from: &mut Reader) -> Result<Arc<T>, ReplayError> {
        T::take(from).map(Arc::new)
    }
}

impl<T: Form, const N: usize> Form for SmallVec<[T; N]> {
    fn put(&self, to: &mut Writer<'_>) {
        put_all(self, to);
    }

    fn take(from: &mut Reader) -> Result<SmallVec<[T; N]>, ReplayError> {
        Vec::take(from).map(SmallVec::from_vec)
    }
}

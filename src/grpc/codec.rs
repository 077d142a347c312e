//! Puts messages on the wire and takes them off it.

use crate::grpc::elements;
use crate::grpc::reply::Reply;
use crate::grpc::status;
use prost::bytes::Buf;
use prost::{Message, Name};
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// What has the bytes of a message of that type, whether it is one or not.
pub trait Wire<M>: Send {
    /// Returns how many bytes it has.
    fn length(&self) -> usize;
    /// Puts them into a buffer with room for them.
    fn put(&self, buf: &mut EncodeBuf<'_>);
}

impl<M: Message> Wire<M> for M {
    fn length(&self) -> usize {
        self.encoded_len()
    }

    fn put(&self, buf: &mut EncodeBuf<'_>) {
        self.encode_raw(buf);
    }
}

/// What the codec can put on the wire: plain messages, and replies that passed the gate.
pub trait Outgoing: Send + 'static {
    /// The message's type.
    type Message: Message;
    /// Returns what has the bytes.
    fn wire(&self) -> &dyn Wire<Self::Message>;
}

impl<M: Message + 'static> Outgoing for M {
    type Message = M;

    fn wire(&self) -> &dyn Wire<M> {
        self
    }
}

impl<M: Message + 'static> Outgoing for Reply<M> {
    type Message = M;

    fn wire(&self) -> &dyn Wire<M> {
        self.wire()
    }
}

/// The codec of all services.
pub struct GatedCodec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for GatedCodec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Outgoing, D: Message + Name + Default + 'static> Codec for GatedCodec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = GatedEncoder<E>;
    type Decoder = PlainDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        GatedEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        PlainDecoder(PhantomData)
    }
}

/// Encodes what [`Outgoing`] allows.
pub struct GatedEncoder<E>(PhantomData<E>);

impl<E: Outgoing> Encoder for GatedEncoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let wire = item.wire();
        buf.reserve(wire.length());
        wire.put(buf);
        Ok(())
    }
}

/// Decodes a message that is not too much, or says that it cannot be read without repeating any of it.
pub struct PlainDecoder<D>(PhantomData<D>);

impl<D: Message + Name + Default> Decoder for PlainDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        if elements::are_too_many(&D::full_name(), buf.chunk()) {
            return Err(status::too_many());
        }
        D::decode(buf).map(Some).map_err(|error| status::unreadable(&error))
    }
}

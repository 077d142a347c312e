//! Puts messages on the wire and takes them off it.

use crate::grpc::elements;
use crate::grpc::reply::Reply;
use crate::grpc::status;
use prost::bytes::Buf;
use prost::{Message, Name};
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// What the codec can put on the wire: plain messages, and replies that passed the gate.
pub trait Outgoing: Send + 'static {
    /// The message's type.
    type Wire: Message;
    /// Returns the message.
    fn into_wire(self) -> Self::Wire;
}

impl<M: Message + 'static> Outgoing for M {
    type Wire = M;

    fn into_wire(self) -> M {
        self
    }
}

impl<M: Message + 'static> Outgoing for Reply<M> {
    type Wire = M;

    fn into_wire(self) -> M {
        self.into_message()
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
        item.into_wire().encode(buf).map_err(|_| status::internal("the send buffer is full"))
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

//! Puts replies on the wire. A hold ends here and nowhere else.

use crate::grpc::reply::Reply;
use prost::Message;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};

/// What the codec can put on the wire: plain messages, and replies that passed the gate.
pub trait Outgoing: Send + 'static {
    fn put(self, buf: &mut EncodeBuf<'_>) -> Result<(), Status>;
}

impl<M: Message + 'static> Outgoing for M {
    fn put(self, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        self.encode(buf).map_err(|_| unreachable!("to come"))
    }
}

impl<M: Message + 'static> Outgoing for Reply<M> {
    fn put(self, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        self.leave(|message| message.put(buf))
    }
}

pub struct GatedCodec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for GatedCodec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Outgoing, D: Message + Default + 'static> Codec for GatedCodec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = GatedEncoder<E>;
    type Decoder = <tonic_prost::ProstCodec<D, D> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        GatedEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        tonic_prost::ProstCodec::<D, D>::default().decoder()
    }
}

pub struct GatedEncoder<E>(PhantomData<E>);

impl<E: Outgoing> Encoder for GatedEncoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.put(buf)
    }
}

//! What a handler of a user-data RPC may return.

/// A reply that went through the gate.
pub struct Reply<M>(M);
impl<M> Reply<M> {
    /// Hands it over.
    #[allow(missing_docs)]
    pub fn leave<R>(self, send: impl FnOnce(M) -> R) -> R {
        send(self.0)
    }
}

use super::{Host, Scene};
use crate::{Closed, Observer};

impl Scene {
    /// Tells an observer of connections that have ended. The steps of the scene play no part.
    #[track_caller]
    pub fn observe<O: Observer>(&self, batch: &[Closed]) -> Host {
        let ((), host) = self.run(false, |observer: &O| observer.on_closed(batch));
        host
    }
}

//! Bytes of a stream, with a few bytes in front that say how it is cut and what happens meanwhile.

/// A stream in pieces.
pub(crate) struct Script<'d> {
    controls: &'d [u8],
    /// The stream.
    pub(crate) stream: &'d [u8],
}

impl<'d> Script<'d> {
    /// The low four bits of the first byte say how many control bytes follow; the rest is the stream.
    pub(crate) fn new(data: &'d [u8]) -> Option<Self> {
        let (count, rest) = data.split_first()?;
        let (controls, stream) = rest.split_at_checked(usize::from(count & 15))?;
        Some(Script { controls, stream })
    }

    /// A control byte; 0 when there is none.
    pub(crate) fn control(&self, at: usize) -> u8 {
        self.controls.get(at).copied().unwrap_or(0)
    }

    /// How far the stream has come after each piece, and a control byte for what happens then. The control bytes come
    /// round again; without any the stream is one piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (usize, u8)> + use<'_, 'd> {
        let mut controls = self.controls.iter().cycle();
        let mut at = 0;
        std::iter::from_fn(move || {
            if at == self.stream.len() {
                return None;
            }
            let control = controls.next().copied();
            let step = control.map_or(usize::MAX, |c| 1 + usize::from(c & 31));
            at = self.stream.len().min(at.saturating_add(step));
            Some((at, control.unwrap_or(0) >> 5))
        })
    }
}

//! Pipes for splicing, lent to directions that move bulk data and given back empty.

use ringway_shared::metrics::Cells;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

/// Both ends of an empty pipe.
pub struct Pipe {
    pub read_end: OwnedFd,
    pub write_end: OwnedFd,
    /// What it takes at once.
    bytes: usize,
}

/// This core's pipes: at most `limit` exist; one is made when first wanted.
pub struct PipePool {
    idle: RefCell<Vec<Pipe>>,
    made: Cell<usize>,
    /// Lowered to what the kernel grants (`fs.pipe-user-pages-soft`), until the next configuration.
    limit: Cell<usize>,
    pipe_bytes: Cell<usize>,
    cells: Arc<Cells>,
}

/// A pipe on loan. Dropping it gives it back if it is empty, and closes it otherwise.
pub struct Loan {
    pool: Rc<PipePool>,
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    pub held: usize,
}

impl PipePool {
    #[must_use]
    pub fn new(limit: usize, pipe_bytes: usize, cells: Arc<Cells>) -> Rc<PipePool> {
        Rc::new(PipePool {
            idle: RefCell::default(),
            made: Cell::new(0),
            limit: Cell::new(limit),
            pipe_bytes: Cell::new(pipe_bytes),
            cells,
        })
    }

    /// From now on so many pipes may be, of this size. Those on loan go when they come back, if they are too many or of
    /// another size.
    pub fn set_limits(&self, limit: usize, pipe_bytes: usize) {
        self.limit.set(limit);
        self.pipe_bytes.set(pipe_bytes);
        for pipe in self.idle.take() {
            self.take_back(pipe);
        }
    }

    fn take_back(&self, pipe: Pipe) {
        if pipe.bytes == self.pipe_bytes.get() && self.made.get() <= self.limit.get() {
            self.idle.borrow_mut().push(pipe);
        } else {
            self.made.set(self.made.get() - 1);
        }
    }

    /// A pipe, or `None` (counted) if the limit is reached or the kernel grants none of the wanted size
    /// (`fs.pipe-user-pages-soft`, descriptors): the direction then stays with copying.
    pub fn lend(self: &Rc<PipePool>) -> Option<Loan> {
        let idle = self.idle.borrow_mut().pop();
        let Some(pipe) = idle.or_else(|| self.make()) else {
            self.cells.pipe_pool_misses.add(1);
            return None;
        };
        self.cells.pipes_in_use.add(1);
        Some(Loan { pool: self.clone(), pipe: Some(pipe), held: 0 })
    }

    /// What each pipe takes at once.
    #[must_use]
    pub fn pipe_bytes(&self) -> usize {
        self.pipe_bytes.get()
    }

    fn make(&self) -> Option<Pipe> {
        if self.made.get() >= self.limit.get() {
            return None;
        }
        let (read_end, write_end) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
        if fcntl_setpipe_size(&write_end, self.pipe_bytes.get()).is_err() {
            self.limit.set(self.made.get());
            return None;
        }
        self.made.set(self.made.get() + 1);
        Some(Pipe { read_end, write_end, bytes: self.pipe_bytes.get() })
    }
}

impl Loan {
    /// What the pipe takes at once.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.pipe.as_ref().map_or(0, |pipe| pipe.bytes)
    }

    /// The pipe's ends. `None` never happens before the drop.
    #[must_use]
    pub fn pipe(&self) -> Option<&Pipe> {
        self.pipe.as_ref()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.pool.cells.pipes_in_use.sub(1);
        let Some(pipe) = self.pipe.take() else { return };
        if self.held == 0 {
            self.pool.take_back(pipe);
        } else {
            // Somebody's bytes are still in it: nobody else may get them.
            self.pool.made.set(self.pool.made.get() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(limit: usize) -> Rc<PipePool> {
        PipePool::new(limit, 64 * 1024, Arc::new(Cells::default()))
    }

    #[test]
    fn the_limit_holds_and_a_returned_pipe_is_lent_again() {
        let pool = pool(1);
        let first = pool.lend().unwrap();
        assert!(pool.lend().is_none());
        drop(first);
        assert!(pool.lend().is_some());
        assert_eq!(pool.cells.pipe_pool_misses.get(), 1);
    }

    #[test]
    fn other_limits_hold_for_what_is_lent_next() {
        let pool = pool(3);
        let (kept, back) = (pool.lend().unwrap(), pool.lend().unwrap());
        drop(back);
        pool.set_limits(2, 128 * 1024);
        assert_eq!((pool.made.get(), kept.capacity()), (1, 64 * 1024));
        let larger = pool.lend().unwrap();
        assert_eq!(larger.capacity(), 128 * 1024);
        assert!(pool.lend().is_none());
        drop(kept);
        assert_eq!((pool.made.get(), pool.idle.borrow().len()), (1, 0), "it was of another size");
        let another = pool.lend().unwrap();
        pool.set_limits(1, 128 * 1024);
        drop(another);
        assert_eq!((pool.made.get(), pool.idle.borrow().len()), (1, 0), "there was one too many");
        drop(larger);
        assert_eq!((pool.made.get(), pool.idle.borrow().len()), (1, 1));
    }

    #[test]
    fn a_pipe_with_bytes_in_it_is_never_lent_again() {
        let pool = pool(1);
        let mut loan = pool.lend().unwrap();
        loan.held = rustix::io::write(&loan.pipe().unwrap().write_end, b"somebody's").unwrap();
        drop(loan);
        let next = pool.lend().unwrap();
        let read = rustix::io::read(&next.pipe().unwrap().read_end, &mut [0u8; 16]);
        assert_eq!(read, Err(rustix::io::Errno::AGAIN));
    }
}

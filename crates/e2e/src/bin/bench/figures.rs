//! Minimum, median and p95.

/// Samples of one thing.
pub(crate) struct Figures {
    name: String,
    samples: Vec<f64>,
}

impl Figures {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), samples: Vec::new() }
    }

    pub(crate) fn add(&mut self, sample: f64) {
        self.samples.push(sample);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The sample below which that share of all lies.
    fn at(&self, percent: usize) -> f64 {
        let sorted = self.sorted();
        sorted.get((sorted.len().saturating_sub(1)) * percent / 100).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn line(&self, what: &str) -> String {
        format!(
            "{what} ({}, n={}): min {:.2}, median {:.2}, p95 {:.2}",
            self.name,
            self.samples.len(),
            self.at(0),
            self.at(50),
            self.at(95)
        )
    }
}

/// Both lines, and the ratios of ours to theirs.
pub(crate) fn compare(what: &str, ours: &Figures, theirs: &Figures) {
    println!("{}\n{}", ours.line(what), theirs.line(what));
    let ratio = |percent| ours.at(percent) / theirs.at(percent);
    println!(
        "ratio {} / {}: min {:.2}, median {:.2}, p95 {:.2}",
        ours.name,
        theirs.name,
        ratio(0),
        ratio(50),
        ratio(95)
    );
}

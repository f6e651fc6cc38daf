//! Sums by cluster, the input of the cluster-robust methods.

/// A table of sums: one row per cluster, `width` sums per row.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    width: usize,
    sums: Vec<f64>,
}

impl Clusters {
    /// Takes the rows of the clusters, one after the other in one vector.
    ///
    /// # Panics
    /// If the width is 0, or the vector does not consist of whole rows.
    pub fn from_sums(width: usize, sums: Vec<f64>) -> Self {
        assert!(
            width > 0 && sums.len().is_multiple_of(width),
            "rows are {width} sums wide"
        );
        Self { width, sums }
    }

    /// The number of clusters.
    pub fn len(&self) -> usize {
        self.sums.len() / self.width
    }

    /// Whether there are no clusters.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// The number of sums per cluster.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Iterates over the rows of sums, one per cluster, in the order of the input.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.sums.chunks_exact(self.width)
    }

    /// The sums over all clusters, one per column.
    pub fn totals(&self) -> Vec<f64> {
        let mut totals = vec![0.0; self.width];
        for row in self.iter() {
            totals.iter_mut().zip(row).for_each(|(total, own)| *total += own);
        }
        totals
    }
}

impl<R: IntoIterator<Item = f64>> FromIterator<R> for Clusters {
    /// Collects rows; all must be as wide as the first.
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        let mut rows = rows.into_iter();
        let mut sums: Vec<f64> = rows.next().into_iter().flatten().collect();
        let width = sums.len().max(1);
        for (n, row) in (2..).zip(rows) {
            sums.extend(row);
            assert_eq!(sums.len(), n * width, "rows are {width} sums wide");
        }
        Self::from_sums(width, sums)
    }
}

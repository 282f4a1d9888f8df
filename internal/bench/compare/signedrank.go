package main

import (
	"math"
	"slices"
)

// estimate is the ratio that lies behind the ratios of pairs, and between what it is
// with a confidence of 1 - alpha: the Hodges-Lehmann estimate and the interval of
// Wilcoxon's signed-rank test, on logarithms. It takes for granted that pairs are
// independent of each other and that noise is as likely to favour one side as the
// other; not how noise is distributed, which on a shared machine has heavy tails.
// With too few pairs for alpha the interval is without end.
func estimate(ratios []float64, alpha float64) (ratio, low, high float64) {
	n := len(ratios)
	var walsh []float64 // the means of all pairs, each with itself too
	for i := range n {
		for j := i; j < n; j++ {
			walsh = append(walsh, (math.Log(ratios[i])+math.Log(ratios[j]))/2)
		}
	}
	slices.Sort(walsh)
	ratio = math.Exp(median(walsh))
	k := criticalRank(n, alpha)
	if k < 0 {
		return ratio, 0, math.Inf(1)
	}
	return ratio, math.Exp(walsh[k]), math.Exp(walsh[len(walsh)-1-k])
}

// criticalRank is the largest k for which a sum of n signed ranks is k or less with a
// probability of at most alpha/2, if either sign is as likely. -1: there is none.
func criticalRank(n int, alpha float64) int {
	// ways[s] is the share of all signs for which the positive ranks add up to s.
	ways := make([]float64, n*(n+1)/2+1)
	ways[0] = 1
	for rank := 1; rank <= n; rank++ {
		for s := len(ways) - 1; s >= 0; s-- {
			ways[s] /= 2
			if s >= rank {
				ways[s] += ways[s-rank] / 2
			}
		}
	}
	sum := 0.0
	for k, p := range ways {
		if sum += p; sum > alpha/2 {
			return k - 1
		}
	}
	return len(ways) - 1
}

// median is that of values in order.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

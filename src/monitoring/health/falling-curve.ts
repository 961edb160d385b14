/** What a score is at some values of what it falls with: the values ascend, the scores descend. */
export type CurvePoints = readonly (readonly [value: number, score: number])[];

/** A whole score between 0 and 100, in straight lines from point to point, and level beyond the first and the last. */
export function fallingCurve(points: CurvePoints): (value: number) => number {
  return (value) => {
    let [beforeValue, beforeScore] = points[0] ?? [0, 100];
    if (value <= beforeValue) return beforeScore;
    for (const [atValue, atScore] of points) {
      if (value <= atValue) {
        const part = (value - beforeValue) / (atValue - beforeValue);
        return Math.round(beforeScore + part * (atScore - beforeScore));
      }
      [beforeValue, beforeScore] = [atValue, atScore];
    }
    return beforeScore;
  };
}

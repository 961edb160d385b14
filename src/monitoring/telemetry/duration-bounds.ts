/** Runs take between some milliseconds and a day. In seconds. */
export const durationBounds: readonly number[] = [
  ...[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  ...[60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400],
];

import { expect, it } from "vitest";
import { quantityText } from "../../../src/monitoring/analysis/quantity.ts";

it.each([
  [0, "By", "0 B"],
  [0, "s", "0 s"],
  [1_500, "By", "1.46 KiB"],
  [53 * 2 ** 30, "By", "53 GiB"],
  [1_000 * 2 ** 20, "By", "0.977 GiB"],
  [0.0000004, "s", "0.4 µs"],
  [0.012, "s", "12 ms"],
  [1.234, "s", "1.23 s"],
  [59.9, "s", "1 min"],
  [185, "s", "3 min 5 s"],
  [3_599, "s", "1 h"],
  [7_260, "s", "2 h 1 min"],
  [90_000, "s", "1 day 1 h"],
  [172_800, "s", "2 days"],
  [0.0321, "1", "3.21 %"],
  [1, "{run}", "1 run"],
  [1234, "{run}", "1,234 runs"],
  [2.5, "{run}/min", "2.5 runs per minute"],
  [2.5, "", "2.5"],
  [-3, "By", "-3 B"],
  [Number.NaN, "s", "unknown"],
  [Number.POSITIVE_INFINITY, "s", "infinite"],
])("shows %d of %j as %s", (value, unit, text) => {
  expect(quantityText(value, unit)).toBe(text);
});

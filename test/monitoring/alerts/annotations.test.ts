import { describe, expect, it } from "vitest";
import { fillIn } from "../../../src/monitoring/alerts/annotations.ts";

describe("fillIn", () => {
  it.each([
    ["{{ $labels.queue }} has {{ $value }} runs", 12, "a has 12 runs"],
    ["{{$value}} {{ $labels.absent }}!", 0.5, "0.5 !"],
    ["{{ $value | humanize }}", 1_234_567, "1.235M"],
    ["{{ $value | humanize }}", 0.001234, "1.234m"],
    ["{{ $value | humanize1024 }}", 3_145_728, "3Mi"],
    ["{{ $value | humanizePercentage }}", 0.1234, "12.34%"],
    ["{{ $value | humanizeDuration }}", 3_725, "1h 2m 5s"],
    ["{{ $value | humanizeDuration }}", 0.25, "250ms"],
    ["{{ $value | humanizeDuration }}", 90_061, "1d 1h 1m 1s"],
    ["{{ $value | nothing }} {{ other }}", 1, "{{ $value | nothing }} {{ other }}"],
  ])("%s of %d is %s", (template, value, expected) => {
    expect(fillIn(template, { queue: "a" }, value)).toBe(expected);
  });
});

import { describe, expect, it } from "vitest";
import {
  annotationForPrometheus,
  assertPlaceholders,
  fillIn,
  labelForPrometheus,
} from "../../../src/monitoring/alerts/annotations.ts";

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
    ["{{ $value | constructor }}", 1, "{{ $value | constructor }}"],
    ["{{{ $value }}", 1, "{{{ $value }}"],
  ])("%s of %d is %s", (template, value, expected) => {
    expect(fillIn(template, { queue: "a" }, value)).toBe(expected);
  });
});

describe("assertPlaceholders", () => {
  it.each(["", "a } b }}", "{ {", "{{ $value }} of {{ $labels.queue | humanize }}}"])("takes %j", (template) => {
    expect(() => assertPlaceholders(template)).not.toThrow();
  });

  it.each([
    ["all: {{ .Nope | x }} of {{ $value }}", '"{{ .Nope | x }}" is no placeholder'],
    ["{{ $value }} {{ $value | nope }}", '"{{ $value | nope }}" is no placeholder: there are {{ $value }}'],
    ["a } {{ b", '"{{ b" is no placeholder'],
    ["{{{ $value }}", '"{{{ $value }}" is no placeholder'],
    ["{{ $value | constructor }}", "one of humanize, humanize1024, humanizeDuration, humanizePercentage"],
  ])("refuses %j", (template, problem) => {
    expect(() => assertPlaceholders(template)).toThrow(problem);
  });
});

describe("for Prometheus", () => {
  it("keeps what both know, and has what they do not as text", () => {
    expect(annotationForPrometheus("{{ $value | humanize }} {{ .Nope }} {{{ $value }}")).toBe(
      '{{ $value | humanize }} {{ "{{" }} .Nope }} {{ "{{" }}{ $value }}',
    );
    expect(labelForPrometheus("{{ $labels.queue }}")).toBe('{{ "{{" }} $labels.queue }}');
  });
});

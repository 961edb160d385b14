import type { DescEnum } from "@bufbuild/protobuf";
import { Quality, type QualityLadder } from "../../../gen/retake/v1/options_pb.js";
import type { Lowering } from "./lowering.ts";

/** The values that a ladder leads down over, by number: each once, though several names may share it. */
export function rungs({ values }: DescEnum, { min = 1 }: QualityLadder): readonly number[] {
  return [...new Set(values.map(({ number }) => number))].filter((number) => number >= min).sort((a, b) => a - b);
}

/** Goes down one defined value for each level below FULL. */
export function stepDown(type: DescEnum, ladder: QualityLadder): Lowering {
  const values = rungs(type, ladder);
  return (value, level) => {
    const rung = values.indexOf(value as number);
    return rung < 0 ? value : values[Math.max(0, rung - (Quality.FULL - level))];
  };
}

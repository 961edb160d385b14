import { Quality } from "../gen/retake/v1/options_pb.js";

/** The levels of quality, the lowest first. */
export const qualityLevels = [Quality.MINIMAL, Quality.LOW, Quality.MEDIUM, Quality.HIGH, Quality.FULL] as const;

/** A level by its name, in capitals or not; undefined for another word. */
export function qualityNamed(text: string): Quality | undefined {
  const name = text.toUpperCase();
  return qualityLevels.find((quality) => Quality[quality] === name);
}

import { Quality } from "../../gen/retake/v1/options_pb.js";
import { suggestion } from "../nearest-name.ts";
import { qualityLevels, qualityNamed } from "../quality-names.ts";
import { UsageError } from "./cli-error.ts";

/** `minimal`, `low`, `medium`, `high`, `full`. @throws UsageError naming what it was for */
export function parseQuality(what: string, text: string): Quality {
  const quality = qualityNamed(text);
  if (quality !== undefined) return quality;
  const known = qualityLevels.map((level) => Quality[level].toLowerCase());
  throw new UsageError(`${what}: there is no "${text}", only ${known.join(", ")}.${suggestion(text, known)}`);
}

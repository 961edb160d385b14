import type { ExpositionFormat } from "./exposition.ts";

/** The format that an `Accept` header asks for: OpenMetrics where it is wanted at least as much as the text format. */
export function chooseFormat(accept: string): ExpositionFormat {
  let open = 0;
  let text = 0;
  for (const range of accept.split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const quality = qualityOf(parameters);
    if (type === "application/openmetrics-text") {
      const version = parameters.find((parameter) => parameter.startsWith("version="));
      if (version === undefined || /^version="?(1\.0\.0|0\.0\.1)"?$/.test(version)) open = Math.max(open, quality);
    } else if (type === "text/plain") {
      text = Math.max(text, quality);
    }
  }
  return open > 0 && open >= text ? "openmetrics" : "prometheus";
}

/** Whether an `Accept-Encoding` header takes gzip. */
export function acceptsGzip(acceptEncoding: string): boolean {
  return acceptEncoding.split(",").some((range) => {
    const [coding = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    return coding === "gzip" && qualityOf(parameters) > 0;
  });
}

function qualityOf(parameters: readonly string[]): number {
  const given = parameters.find((parameter) => parameter.startsWith("q="));
  const quality = given === undefined ? 1 : Number(given.slice(2));
  return Number.isNaN(quality) ? 0 : quality;
}

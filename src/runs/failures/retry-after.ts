/**
 * The wait that a `Retry-After` asks for, in ms (RFC 9110, section 10.2.3): seconds, or an HTTP date. Undefined where it
 * says neither.
 */
export function retryAfterMs(value: string, nowMs: number): number | undefined {
  const text = value.trim();
  if (/^\d{1,9}$/.test(text)) {
    return Number(text) * 1000;
  }
  // Date.parse reads much more than HTTP dates: the obsolete forms too, but numbers as years.
  const atMs = /^[A-Za-z]{3,9},? /.test(text) ? Date.parse(/ GMT$/.test(text) ? text : `${text} GMT`) : Number.NaN;
  const delayMs = atMs - nowMs;
  return Number.isNaN(delayMs) ? undefined : Math.max(0, delayMs);
}

import { stripVTControlCharacters } from "node:util";

/**
 * Text from elsewhere, as one line that a terminal only shows: sequences that would move its cursor, change its colours
 * or pretend to be our words are left out, line breaks and marks that turn the direction of writing become spaces.
 */
export function plainText(text: string): string {
  return stripVTControlCharacters(text)
    .replace(/[\p{Cc}\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu, " ")
    .trim();
}

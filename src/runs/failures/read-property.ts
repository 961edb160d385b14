/** A property of whatever was thrown. Never throws: getters of strangers may. */
export function readProperty(value: unknown, name: PropertyKey): unknown {
  if ((typeof value !== "object" || value === null) && typeof value !== "function") {
    return undefined;
  }
  try {
    return (value as Record<PropertyKey, unknown>)[name];
  } catch {
    return undefined;
  }
}

/** A property that is a text; "" for any other. */
export function readText(value: unknown, name: PropertyKey): string {
  const read = readProperty(value, name);
  return typeof read === "string" ? read : "";
}

/** One declaration of a container, and the places that the messages it brings have among the container's messages. */
export interface Unit<T> {
  readonly value: T;
  /** Indices of the message itself, or of the map entries and groups that a field, a oneof or an extension declares. */
  readonly declares: readonly number[];
}

/**
 * Orders declarations so that, compiled again, the container's messages get the order they have now, although those of
 * maps and groups are declared by a field or an extension. Apart from that the given order is kept: within a list
 * always, between the lists wherever messages leave a choice.
 */
export function orderUnits<T>(...lists: readonly (readonly Unit<T>[])[]): T[] {
  const declarers = new Map<number, Unit<T>>();
  const predecessors = new Map<Unit<T>, Unit<T>>();
  for (const list of lists) {
    list.forEach((unit, index) => {
      for (const message of unit.declares) declarers.set(message, unit);
      const predecessor = list[index - 1];
      if (predecessor !== undefined) predecessors.set(unit, predecessor);
    });
  }
  const ordered = new Set<Unit<T>>();
  const visited = new Set<Unit<T>>();
  const place = (unit: Unit<T> | undefined): void => {
    if (unit === undefined || visited.has(unit)) return;
    visited.add(unit);
    place(predecessors.get(unit));
    if (unit.declares.length > 0) place(declarers.get(Math.min(...unit.declares) - 1));
    ordered.add(unit);
  };
  for (const unit of lists.flat()) place(unit);
  return Array.from(ordered, ({ value }) => value);
}

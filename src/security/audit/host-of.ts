/** The host of a peer's address: the port is another one with each connection. */
export function hostOf(address: string): string {
  if (address.startsWith("[")) return address.slice(1, address.indexOf("]"));
  const colon = address.indexOf(":");
  return colon < 0 || colon !== address.lastIndexOf(":") ? address : address.slice(0, colon);
}

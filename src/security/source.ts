/**
 * The machine behind a peer's address, `host:port`, to count calls by. IPv6 by its network (/64): each machine there has as
 * many addresses as it likes. IPv4 in IPv6's clothes is IPv4.
 */
export function sourceOf(address: string): string {
  const end = address.lastIndexOf(":");
  // Not a colon of the address itself: those that Node writes have a port behind them.
  const host = end < 0 ? address : address.slice(0, end);
  if (!host.includes(":")) return host;
  const known = networks.get(host);
  if (known !== undefined) return known;
  const plain = host.startsWith("[") ? host.slice(1, -1) : host;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1];
  const source = mapped ?? networkOf(plain);
  if (networks.size === mostNetworks) networks.clear();
  networks.set(host, source);
  return source;
}

/** Those that were worked out last: a connection asks with each of its calls. */
const networks = new Map<string, string>();
const mostNetworks = 1000;

/** The first four of the eight groups; "::" stands for as many zeros as are missing. */
function networkOf(address: string): string {
  const [head = "", tail] = (address.split("%", 1)[0] ?? "").split("::", 2);
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const missing = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array<string>(missing).fill("0"), ...after];
  return `${groups.slice(0, 4).join(":").toLowerCase()}::/64`;
}

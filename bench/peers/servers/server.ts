/** What an app stands on. */
export interface PeerServer extends AsyncDisposable {
  /** What the app is told. */
  readonly settings: Readonly<Record<string, string>>;
  /** Its version, and what its durability rests on. */
  readonly told: string;
}

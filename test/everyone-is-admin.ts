import { AccessLevel } from "../gen/retake/v1/options_pb.js";

/** For tests over ports that are about something else than access: everybody who reaches the server may do everything. */
export const everyoneIsAdmin = { anonymousLevel: AccessLevel.ADMIN } as const;

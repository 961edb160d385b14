import { createEmbeddedFeed } from "../../../src/runs/embedded/feed.ts";
import { describeFeed } from "../ports/feed-contract.ts";

describeFeed("the embedded feed", (onError) => createEmbeddedFeed({ onError }));

/**
 * A service with the history of its own records, and a way back.
 *
 *     GET  /configs/:id               the live document
 *     PUT  /configs/:id               writes it; an If-Match header says which version was seen
 *     GET  /configs/:id/history       its versions, newest first; ?limit=50
 *     POST /configs/:id/restore       {"version": "@7", "reason": "…"}
 *
 * Run it in a folder with a .cfg.toml:  node express-service.mjs
 */
import { pathToFileURL } from "node:url";

import { CfgError, NotFoundError, RefusedError, baseOf, open, type Entry, type Id, type Project } from "cfg-engine";
import express, { type ErrorRequestHandler, type Express, type Request } from "express";

/** What this service keeps; the types are the application's own. */
export interface PlannerConfig {
  model: string;
  retries: number;
}

/** The id as the URL has it. As an object it is that id, whatever characters it holds. */
const idOf = (request: Request<{ id: string }>): Id => ({ id: request.params.id });

/** Who asks. A real service takes this from its session. */
const authorOf = (request: Request<{ id: string }>): string => request.get("x-user") ?? "anonymous";

/** The signal of a client that may go away: nobody waits for an answer that nobody reads. */
function signalOf(request: Request<{ id: string }>): AbortSignal {
  const controller = new AbortController();
  request.res?.on("close", () => controller.abort());
  return controller.signal;
}

export function createApp(cfg: Project): Express {
  const app = express();
  app.use(express.json());

  app.get("/configs/:id", async (request, response) => {
    const doc = await cfg.get<PlannerConfig>(idOf(request), { signal: signalOf(request) });
    response.set("ETag", `"${baseOf(doc)?.seq ?? 0}"`).json(doc);
  });

  app.put("/configs/:id", async (request, response) => {
    const seen = /^"(\d+)"$/.exec(request.get("if-match") ?? "")?.[1];
    const change = await cfg.commit<PlannerConfig>(idOf(request), request.body as PlannerConfig, {
      message: request.get("x-reason") ?? "changed through the service",
      author: authorOf(request),
      base: seen === undefined ? undefined : Number(seen),
    });
    response.set("ETag", `"${change.seq}"`).json(change.doc);
  });

  app.get("/configs/:id/history", async (request, response) => {
    const limit = Math.min(Number(request.query["limit"] ?? 50), 500);
    const entries: Entry<PlannerConfig>[] = [];
    for await (const entry of cfg.history<PlannerConfig>(idOf(request), { withDoc: true, signal: signalOf(request) })) {
      entries.push(entry);
      if (entries.length >= limit) {
        break;
      }
    }
    response.json(entries);
  });

  app.post("/configs/:id/restore", async (request, response) => {
    const { version, reason } = request.body as { version?: string; reason?: string };
    if (version === undefined) {
      response.status(400).json({ message: "say which version: {\"version\": \"@7\"}" });
      return;
    }
    const change = await cfg.restore<PlannerConfig>(idOf(request), version, { message: reason ?? "restored", author: authorOf(request) });
    response.json({ seq: change.seq, unchanged: change.unchanged, doc: change.doc });
  });

  app.use(errors);
  return app;
}

/** One table from outcomes to HTTP. The class says what a client can do about it. */
const errors: ErrorRequestHandler = (error: unknown, request, response, next) => {
  if (request.res?.writableEnded || response.headersSent) {
    return;
  }
  if (!(error instanceof CfgError)) {
    next(error);
    return;
  }
  const status = error instanceof NotFoundError ? 404 : error instanceof RefusedError ? 422 : error.exitCode === 2 ? 409 : 503;
  response.status(status).json(error);
};

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const cfg = await open();
  const server = createApp(cfg).listen(Number(process.env["PORT"] ?? 3000), "127.0.0.1", () => {
    console.log("listening on", server.address());
  });
  process.once("SIGTERM", () => server.close(() => void cfg.close()));
}

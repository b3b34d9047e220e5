// The application that writes around the tool, with a SQLite of its own: Python's.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

let child;
const waiting = [];

function start() {
  child = spawn("python3", [fileURLToPath(new URL("sqlite.py", import.meta.url))], { stdio: ["pipe", "pipe", "inherit"] });
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { resolve, reject } = waiting.shift();
    const { rows, error } = JSON.parse(line);
    if (error === undefined) resolve(rows);
    else reject(new Error(error));
  });
}

function ask(request) {
  if (child === undefined) start();
  return new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    child.stdin.write(JSON.stringify(request) + "\n");
  });
}

/** A connection to a file. */
export class Application {
  constructor(file) {
    this.file = file;
  }

  run(sql, ...params) {
    return ask({ file: this.file, sql, params });
  }

  close() {
    return ask({ file: this.file, close: true });
  }
}

/** Ends the process behind all connections. */
export async function endApplications() {
  if (child !== undefined) {
    const ended = once(child, "exit");
    child.stdin.end();
    await ended;
    child = undefined;
  }
}

// Keeps NNI's manager, and the TensorBoard that it starts, off the network: see loopback.py.
"use strict";

const childProcess = require("child_process");
const inspector = require("inspector");
const net = require("net");
const path = require("path");

const LOOPBACK = "127.0.0.1";
const EVERYWHERE = [undefined, null, "", "0.0.0.0", "::"];

const script = process.argv[1] || "";
const isManager = path.basename(script) === "main.js" && path.basename(path.dirname(script)) === "nni_node";

function local(args) {
  const [first, host, ...rest] = args;
  if (typeof first === "number") {
    if (typeof host !== "string") return [first, LOOPBACK, ...args.slice(1)];
    return [first, EVERYWHERE.includes(host) ? LOOPBACK : host, ...rest];
  }
  if (first && typeof first === "object" && first.port !== undefined && EVERYWHERE.includes(first.host)) {
    return [{ ...first, host: LOOPBACK }, ...args.slice(1)];
  }
  return args;
}

// Other programs of the same shell listen where they like; so do those that trials start.
if (isManager && process.env.NNI_DARTS_HOST !== "0.0.0.0") {
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = function (...args) {
    return listen.apply(this, local(args));
  };
  const { spawn } = childProcess;
  childProcess.spawn = (command, args, ...rest) => {
    const isTensorBoard = command === "tensorboard" && Array.isArray(args);
    const kept = isTensorBoard ? args.map((a) => a.replace("--bind_all", `--host=${LOOPBACK}`)) : args;
    return spawn(command, kept, ...rest);
  };
}
if (isManager && process.env.NODE_OPTIONS) {
  process.env.NODE_OPTIONS = process.env.NODE_OPTIONS.replace(`--require ${JSON.stringify(__filename)}`, "").trim();
}

// In a manager that was started without this file: what listens at the port moves to loopback.
// Connections that are open stay. The inspector by which this is called is open to all users of the
// machine: it is closed as soon as its caller, who is answered first, has gone.
exports.rebind = (port) => {
  const servers = process._getActiveHandles().filter((h) => h instanceof net.Server && h.listening);
  for (const server of servers.filter((s) => s.address().port === port)) {
    server.close();
    server.listen(port, LOOPBACK);
  }
  setTimeout(() => inspector.close(), 100);
};

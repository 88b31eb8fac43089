// node's own HTTP server, with a worker process from node's own cluster module.
const cluster = require('cluster');
const http = require('http');

if (cluster.isPrimary) {
  cluster.fork();
  cluster.fork();
  cluster.on('exit', () => cluster.fork());
} else {
  http
    .createServer((request, response) => response.end('{"status":"ok"}\n'))
    .listen(Number(process.argv[2]), '127.0.0.1');
}

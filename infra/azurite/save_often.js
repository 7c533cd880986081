// Azurite writes its index of blobs every 5 s, and forgets what it has acknowledged since when it is killed.
// Loaded before it (node --require), this makes that one second.
const Loki = require("lokijs");
const enable = Loki.prototype.autosaveEnable;
Loki.prototype.autosaveEnable = function (options, callback) {
  this.autosaveInterval = 1000;
  return enable.call(this, options, callback);
};

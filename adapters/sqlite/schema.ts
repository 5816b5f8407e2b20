/** "Peyk": marks the file as ours (PRAGMA application_id). */
export const APPLICATION_ID = 0x5065796b;
/** What this version reads and writes (PRAGMA user_version). A file with another one is refused as it is. */
export const SCHEMA_VERSION = 7;

/** Offsets of a topic have no holes: what is above the floor and not there has expired. */
export const SCHEMA = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE topic (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  head INTEGER NOT NULL,
  floor INTEGER NOT NULL,
  kept INTEGER NOT NULL,
  swept INTEGER NOT NULL
);
CREATE INDEX topic_unswept ON topic (id) WHERE swept < head;

CREATE TABLE entry (
  id INTEGER PRIMARY KEY,
  topic INTEGER NOT NULL,
  position INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  bytes BLOB NOT NULL
);
CREATE UNIQUE INDEX entry_position ON entry (topic, position);
CREATE INDEX entry_expires ON entry (expires);

CREATE TABLE idempotency (
  id INTEGER PRIMARY KEY,
  topic INTEGER NOT NULL,
  key TEXT NOT NULL,
  position INTEGER NOT NULL,
  at INTEGER NOT NULL
);
CREATE UNIQUE INDEX idempotency_key ON idempotency (topic, key);

CREATE TABLE user (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  keys TEXT NOT NULL,
  record TEXT NOT NULL
);
CREATE INDEX user_seen ON user (seen, name);

CREATE TABLE positions (
  user INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  record TEXT NOT NULL
);

CREATE TABLE lookup (
  kind INTEGER NOT NULL,
  key TEXT NOT NULL,
  user TEXT NOT NULL,
  PRIMARY KEY (kind, key, user)
) WITHOUT ROWID;

CREATE TABLE push (
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  user TEXT NOT NULL,
  device TEXT NOT NULL,
  target TEXT NOT NULL,
  provider TEXT NOT NULL,
  topic TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  after INTEGER,
  position INTEGER NOT NULL,
  message TEXT NOT NULL,
  urgency TEXT NOT NULL,
  due INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  coalesced INTEGER NOT NULL,
  collapse TEXT,
  silent INTEGER NOT NULL,
  rule TEXT NOT NULL,
  status TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  note TEXT,
  covers TEXT,
  handle TEXT,
  changed INTEGER NOT NULL
);
CREATE INDEX push_due ON push (provider, due, id) WHERE status = 'pending';
CREATE INDEX push_topic ON push (topic, due) WHERE status = 'pending';
CREATE INDEX push_user ON push (user) WHERE status = 'pending';
CREATE INDEX push_target ON push (target) WHERE status = 'pending';
CREATE INDEX push_sending ON push (key) WHERE status = 'sending';
CREATE INDEX push_settled ON push (expires) WHERE status <> 'pending' AND status <> 'sending';
CREATE INDEX push_message ON push (message);

CREATE TABLE decision (
  topic TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  decided INTEGER NOT NULL,
  goal INTEGER NOT NULL,
  pass_to INTEGER,
  pass_after TEXT
) WITHOUT ROWID;
CREATE INDEX decision_open ON decision (topic) WHERE goal > decided;
`;

/** What a row of `lookup` finds users by. */
export const Lookup = {
  /** A topic of theirs, where a session that is away can be pushed to. */
  pushable: 1,
  deviceId: 2,
  targetId: 3,
  /** The node that holds one of their sessions. */
  node: 4,
} as const;

-- The rows of a data directory as the program of format 2 wrote them, before there were secrets.
DELETE FROM counter;
INSERT INTO "attempts" VALUES(X'00000000000000000000000000000002',0,0,X'00000000000000000000000000000007',1767225600000001,1767225600000020,1767225600000030,'exited',NULL,0,NULL,'on-its-own',5,NULL,NULL);
INSERT INTO "attempts" VALUES(X'00000000000000000000000000000002',1,0,X'00000000000000000000000000000007',1767225600000001,NULL,1767225600000040,'lost',NULL,NULL,NULL,NULL,NULL,NULL,'gone');
INSERT INTO "attempts" VALUES(X'00000000000000000000000000000002',1,1,X'00000000000000000000000000000007',1767225600000001,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "counter" VALUES(1,1767225600000060);
INSERT INTO "executions" VALUES(X'00000000000000000000000000000002','p','r','sieve-bcdfg',X'00000000000000000000000000000001','sieve',1,1767225600000000,1,1767225600000010,1767225600000050,'{}','{}','','','',NULL,NULL,NULL,0,'"importing"',NULL,NULL,NULL,1767225600000020,NULL,NULL,NULL,NULL,1,1,0,0,0);
INSERT INTO "jobs" VALUES(X'00000000000000000000000000000001','p','r','sieve',1,1767225600000000,1767225600000000,1767225600000050,'{"team":"x"}','{}','','','',1,X'00000000000000000000000000000002','sieve-bcdfg',1767225600000010,'ready',1,1767225600000000,NULL,NULL);
INSERT INTO "labels" VALUES(X'00000000000000000000000000000001','team','x','job','p',1767225600000000);
INSERT INTO "policies" VALUES(X'00000000000000000000000000000001','{}','e');
INSERT INTO "specs" VALUES(X'00000000000000000000000000000001','{"template":{"metadata":{"annotations":{"run.googleapis.com/execution-environment":"gen2"}},"spec":{"parallelism":2,"taskCount":3,"template":{"spec":{"containers":[{"args":["true"],"command":["/job"],"env":[{"name":"A","value":"b"}],"image":"builtin.groundrun/job","name":"main","resources":{"limits":{"cpu":"1","memory":"512Mi"}}}],"maxRetries":1,"serviceAccountName":"sa@p.iam.gserviceaccount.com","timeoutSeconds":"60"}}}}}');
INSERT INTO "specs" VALUES(X'00000000000000000000000000000002','{"parallelism":2,"taskCount":3,"template":{"spec":{"containers":[{"args":["true"],"command":["/job"],"env":[{"name":"A","value":"b"}],"image":"builtin.groundrun/job","name":"main","resources":{"limits":{"cpu":"1","memory":"512Mi"}}}],"maxRetries":1,"serviceAccountName":"sa@p.iam.gserviceaccount.com","timeoutSeconds":"60"}}}');

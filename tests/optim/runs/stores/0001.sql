BEGIN TRANSACTION;
CREATE TABLE studio_artefacts (
	run_id VARCHAR(32) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	bytes INTEGER NOT NULL, 
	PRIMARY KEY (run_id, name), 
	FOREIGN KEY(run_id) REFERENCES studio_runs (id)
);
INSERT INTO "studio_artefacts" VALUES('01ef77dcad19','recipe.yaml','f5f748a94205342875a0a2b88e00170a',196);
INSERT INTO "studio_artefacts" VALUES('01ef77dcad19','model.onnx','c22d26d33c5783cf2bd157ba48eefa47',10);
CREATE TABLE studio_epochs (
	run_id VARCHAR(32) NOT NULL, 
	step VARCHAR(80) NOT NULL, 
	epoch INTEGER NOT NULL, 
	figures JSON NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (run_id, step, epoch), 
	FOREIGN KEY(run_id) REFERENCES studio_runs (id)
);
INSERT INTO "studio_epochs" VALUES('01ef77dcad19','distill',1,'{"loss": 1.105480069053459, "learning_rate": 0.1, "accuracy": 0.8086938680574733, "train_accuracy": 0.78804080208621, "seconds": 2.5}',1.79580167233035850526e+09);
INSERT INTO "studio_epochs" VALUES('01ef77dcad19','distill',2,'{"loss": 0.7739934461758323, "learning_rate": 0.05, "accuracy": 0.8564241117657115, "train_accuracy": 0.8596361676485673, "seconds": 2.5}',1.79580167234437012668e+09);
INSERT INTO "studio_epochs" VALUES('01ef77dcad19','distill',3,'{"loss": 0.551791317868303, "learning_rate": 0.03333333333333333, "accuracy": 0.8853739679703141, "train_accuracy": 0.9030609519554711, "seconds": 2.5}',1.79580167235128450396e+09);
INSERT INTO "studio_epochs" VALUES('01ef77dcad19','distill',4,'{"loss": 0.40284477699198307, "learning_rate": 0.025, "accuracy": 0.9029329433526775, "train_accuracy": 0.9293994150290161, "seconds": 2.5}',1.79580167235943913457e+09);
INSERT INTO "studio_epochs" VALUES('95996eca254b','distill',1,'{"loss": 1.105480069053459, "learning_rate": 0.1, "accuracy": 0.8086938680574733, "train_accuracy": 0.78804080208621, "seconds": 2.5}',1.79580167244341874126e+09);
INSERT INTO "studio_epochs" VALUES('95996eca254b','distill',2,'{"loss": 0.7739934461758323, "learning_rate": 0.05, "accuracy": 0.8564241117657115, "train_accuracy": 0.8596361676485673, "seconds": 2.5}',1.79580167245032286645e+09);
CREATE TABLE studio_events (
	id INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	at FLOAT NOT NULL, 
	level VARCHAR(16) NOT NULL, 
	message TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(run_id) REFERENCES studio_runs (id)
);
INSERT INTO "studio_events" VALUES(1,'01ef77dcad19',1.79580167229693961144e+09,'info','Submitted.');
INSERT INTO "studio_events" VALUES(2,'01ef77dcad19',1.79580167232287645339e+09,'info','Started, attempt 1 of 3.');
INSERT INTO "studio_events" VALUES(3,'01ef77dcad19',1.79580167238927054405e+09,'info','Finished.');
INSERT INTO "studio_events" VALUES(4,'811923c7d92d',1.79580167239712500571e+09,'info','Submitted.');
INSERT INTO "studio_events" VALUES(5,'811923c7d92d',1.79580167240870547298e+09,'info','Started, attempt 1 of 3.');
INSERT INTO "studio_events" VALUES(6,'811923c7d92d',1.79580167241635203366e+09,'error','Failed: The loss is no longer a number.');
INSERT INTO "studio_events" VALUES(7,'95996eca254b',1.79580167242518639559e+09,'info','Submitted.');
INSERT INTO "studio_events" VALUES(8,'95996eca254b',1.79580167243636608124e+09,'info','Started, attempt 1 of 3.');
INSERT INTO "studio_events" VALUES(9,'b389964e4bfc',1.7958016724576406479e+09,'info','Submitted.');
CREATE TABLE studio_parents (
	run_id VARCHAR(32) NOT NULL, 
	parent_id VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	PRIMARY KEY (run_id, parent_id), 
	FOREIGN KEY(run_id) REFERENCES studio_runs (id), 
	FOREIGN KEY(parent_id) REFERENCES studio_runs (id)
);
CREATE TABLE studio_runs (
	id VARCHAR(32) NOT NULL, 
	title TEXT NOT NULL, 
	kind VARCHAR(80) NOT NULL, 
	spec JSON NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	priority INTEGER NOT NULL, 
	created_at FLOAT NOT NULL, 
	started_at FLOAT, 
	finished_at FLOAT, 
	deleted_at FLOAT, 
	progress FLOAT NOT NULL, 
	message TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	max_attempts INTEGER NOT NULL, 
	budget_s FLOAT, 
	seconds FLOAT NOT NULL, 
	spent_s FLOAT NOT NULL, 
	energy_j FLOAT, 
	result JSON, 
	error JSON, 
	environment JSON NOT NULL, 
	fence INTEGER NOT NULL, 
	worker TEXT NOT NULL, 
	attempt_at FLOAT, 
	seen_at FLOAT, 
	PRIMARY KEY (id)
);
INSERT INTO "studio_runs" VALUES('01ef77dcad19','Recover, finished','recipe','{"recipe": {"version": 1, "model": "small-resnet", "data": "digits", "seed": 0, "steps": [{"prune_channels": {"pruning_ratio": 0.25}}, {"reestimate_batchnorm": {"samples": 128}}, {"distill": {"epochs": 4}}, {"quantize": {"samples": 128}}]}}','finished',0,1.79580167228405499458e+09,1.79580167231263327599e+09,1.79580167238705348973e+09,NULL,1.0,'',1,3,NULL,7.44202136993408203125e-02,7.44202136993408203125e-02,NULL,'{"schema": "optim.scorecard/1", "verdict": "This network is 4.1x smaller and loses 1.4 \u00b1 0.9 points.", "model": "small-resnet", "data": "digits", "part": "validation", "overlap": "unseen", "baseline": {"accuracy": {"value": 0.934, "unit": "fraction", "low": 0.914, "high": 0.9540000000000001, "n": 362, "how": "measured"}, "params": {"value": 4000, "unit": "params", "low": 4000, "high": 4000, "n": null, "how": "measured"}, "macs": {"value": 1250000, "unit": "macs", "low": 1250000, "high": 1250000, "n": null, "how": "measured"}, "sparsity": {"value": 0.0, "unit": "fraction", "low": 0.0, "high": 0.0, "n": null, "how": "measured"}, "file": {"value": 330032, "unit": "bytes", "low": 330032, "high": 330032, "n": null, "how": "measured"}, "latency": {"value": 0.42, "unit": "ms", "low": 0.4074, "high": 0.4326, "n": 40, "how": "measured"}, "primary": "accuracy", "sizes": {}, "conditions": {"runtime": "ONNX Runtime 1.32", "batch_size": 1, "threads": 1}}, "result": {"accuracy": {"value": 0.92, "unit": "fraction", "low": 0.9, "high": 0.9400000000000001, "n": 362, "how": "simulated"}, "params": {"value": 4000, "unit": "params", "low": 4000, "high": 4000, "n": null, "how": "measured"}, "macs": {"value": 402000, "unit": "macs", "low": 402000, "high": 402000, "n": null, "how": "measured"}, "sparsity": {"value": 0.0, "unit": "fraction", "low": 0.0, "high": 0.0, "n": null, "how": "measured"}, "file": {"value": 80500, "unit": "bytes", "low": 80500, "high": 80500, "n": null, "how": "measured"}, "latency": {"value": 0.21, "unit": "ms", "low": 0.2037, "high": 0.2163, "n": 40, "how": "measured"}, "primary": "accuracy", "sizes": {}, "conditions": {"runtime": "ONNX Runtime 1.32", "batch_size": 1, "threads": 1}}, "change": {"accuracy": {"difference": {"value": -1.4, "unit": "points", "low": -2.3, "high": -0.4999999999999999, "n": 362, "how": "measured"}, "better": "higher", "direction": "worse", "verdict": "loses 1.4 \u00b1 0.9 points"}, "file": {"difference": {"value": 0.244, "unit": "x", "low": 0.244, "high": 0.244, "n": null, "how": "measured"}, "better": "lower", "direction": "better", "verdict": "4.10x less"}, "latency": {"difference": {"value": 0.5, "unit": "x", "low": 0.48, "high": 0.52, "n": 40, "how": "measured"}, "better": "lower", "direction": "better", "verdict": "2.00 \u00b1 0.08x less"}}, "verification": {}, "steps": {"prune_channels": {"summary": "Prune channels did what it does.", "layers": [{"layer": "stem.conv", "touched": true, "detail": "changed", "amount": 0.5}, {"layer": "head", "touched": false, "detail": "left alone", "amount": null}], "notes": []}, "reestimate_batchnorm": {"summary": "Re-estimate batch norm did what it does.", "layers": [{"layer": "stem.conv", "touched": true, "detail": "changed", "amount": 0.5}, {"layer": "head", "touched": false, "detail": "left alone", "amount": null}], "notes": []}, "distill": {"summary": "Distil did what it does.", "layers": [{"layer": "stem.conv", "touched": true, "detail": "changed", "amount": 0.5}, {"layer": "head", "touched": false, "detail": "left alone", "amount": null}], "notes": []}, "quantize": {"summary": "Quantize did what it does.", "layers": [{"layer": "stem.conv", "touched": true, "detail": "changed", "amount": 0.5}, {"layer": "head", "touched": false, "detail": "left alone", "amount": null}], "notes": []}}}',NULL,'{"optim": "0.1.0", "threads": 1, "versions": {"torch": "2.13.0"}}',1,'',NULL,1.79580167238749837874e+09);
INSERT INTO "studio_runs" VALUES('811923c7d92d','Recover, failed','recipe','{"recipe": {"version": 1, "model": "small-resnet", "data": "digits", "seed": 0, "steps": [{"prune_channels": {"pruning_ratio": 0.25}}, {"reestimate_batchnorm": {"samples": 128}}, {"distill": {"epochs": 4}}, {"quantize": {"samples": 128}}]}}','failed',0,1.79580167239616084098e+09,1.79580167240765261648e+09,1.79580167241441249845e+09,NULL,0.0,'',1,3,NULL,6.7598819732666015625e-03,6.7598819732666015625e-03,NULL,NULL,'{"kind": "RunError", "message": "The loss is no longer a number.", "hint": "Lower the learning rate.", "traceback": ""}','{}',1,'',NULL,1.79580167241482758526e+09);
INSERT INTO "studio_runs" VALUES('95996eca254b','Recover, interrupted','recipe','{"recipe": {"version": 1, "model": "small-resnet", "data": "digits", "seed": 0, "steps": [{"prune_channels": {"pruning_ratio": 0.25}}, {"reestimate_batchnorm": {"samples": 128}}, {"distill": {"epochs": 4}}, {"quantize": {"samples": 128}}]}}','running',0,1.79580167242409563066e+09,1.79580167243545103065e+09,NULL,NULL,0.35,'epoch 2 of 4, loss 0.774',1,3,NULL,0.0,0.0,NULL,NULL,NULL,'{"optim": "0.1.0", "threads": 1, "versions": {"torch": "2.13.0"}}',1,'here:0:0:0',1.79580167243545103065e+09,1.79580167245467615128e+09);
INSERT INTO "studio_runs" VALUES('b389964e4bfc','Recover, waiting','recipe','{"recipe": {"version": 1, "model": "small-resnet", "data": "digits", "seed": 0, "steps": [{"prune_channels": {"pruning_ratio": 0.25}}, {"reestimate_batchnorm": {"samples": 128}}, {"distill": {"epochs": 4}}, {"quantize": {"samples": 128}}]}}','queued',0,1.79580167245675563817e+09,NULL,NULL,NULL,0.0,'',0,3,NULL,0.0,0.0,NULL,NULL,NULL,'{}',0,'',NULL,NULL);
CREATE TABLE studio_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT studio_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "studio_version" VALUES('0001');
CREATE INDEX studio_runs_by_state ON studio_runs (state, priority, created_at);
CREATE INDEX studio_events_by_run ON studio_events (run_id);
COMMIT;

/* The artifact's bytes, read in place. */
	.section .edgec_model, "a"
	.balign 16
	.globl edgec_harness_artifact
edgec_harness_artifact:
	.incbin "artifact.edgec"
	.globl edgec_harness_artifact_end
edgec_harness_artifact_end:

"""Generated from protos/oncue/v1 by scripts/generate_stubs.sh. Do not edit."""

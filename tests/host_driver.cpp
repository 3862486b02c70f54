// The host engine behind one C function, for tests that build it themselves (tests/test_mutation_host.py).
#include <cstdint>
#include <cstring>
#include <vector>

#include "host/engine.h"
#include "host/error.h"

// Runs an artifact twice on a tier: inputs one after the other, outputs likewise. 1 where the engine refuses.
extern "C" int edgec_test_run(const uint8_t *artifact, size_t bytes, const char *tier, const uint8_t *inputs, uint8_t *outputs) {
  try {
    edgec::Engine engine(artifact, bytes, tier);
    std::vector<std::vector<uint8_t>> memory;
    std::vector<uint8_t *> ports;
    for (size_t i = 0; i < engine.ports(); i++) {
      memory.emplace_back(engine.port_bytes(i));
      ports.push_back(memory.back().data());
      if (i < engine.model().inputs.size()) {
        std::memcpy(ports.back(), inputs, engine.port_bytes(i));
        inputs += engine.port_bytes(i);
      }
    }
    for (int i = 0; i < 2; i++) {
      engine.run(ports.data(), 1);
    }
    for (size_t i = engine.model().inputs.size(); i < engine.ports(); i++) {
      std::memcpy(outputs, ports[i], engine.port_bytes(i));
      outputs += engine.port_bytes(i);
    }
    return 0;
  } catch (const edgec::Error &) {
    return 1;
  }
}

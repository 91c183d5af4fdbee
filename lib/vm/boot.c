/* Creating a VM and its vcpus, and the way back: each step of construction has its counterpart in
 * hostvm_vm_destroy. */
#include <sel4vm/boot.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "vm/vm.h"

/* --- vm_init --- */

static int check_arguments(vka_t *vka, simple_t *host_simple, ps_io_ops_t *io_ops)
{
    if (vka == NULL || host_simple == NULL || io_ops == NULL) {
        return fail(-EINVAL, "vm_init: no %s given",
                    vka == NULL           ? "vka"
                    : host_simple == NULL ? "simple"
                                          : "io_ops");
    }
    if (io_ops->malloc_ops.calloc == NULL || io_ops->malloc_ops.malloc == NULL ||
        io_ops->malloc_ops.free == NULL) {
        return fail(
            -EINVAL,
            "vm_init: io_ops has no malloc_ops; see hostvm_env_create or ps_new_stdlib_malloc_ops");
    }
    return 0;
}

static int create_hosted(vm_t *vm, struct env *env)
{
    struct hosted_vm *hosted = calloc(1, sizeof(*hosted));

    if (hosted == NULL) {
        return fail(-ENOMEM, "cannot create a VM: out of memory");
    }
    hosted->vm = vm;
    hosted->env = env;
    hosted->log = env_log(env);
    hosted->events.epoll_fd = -1;
    hosted->poller.ack_fd = -1;
    hosted->guest_noise.burst = 8;
    for (size_t i = 0; i < ARCH_NR_IRQS; i++) {
        hosted->irq_acks[i].resample_fd = -1;
        hosted->irq_acks[i].trigger_fd = -1;
    }
    hosted->wake_fd = io_eventfd();
    if (hosted->wake_fd < 0) {
        int r = hosted->wake_fd;

        free(hosted);
        return r;
    }
    vm->hosted = hosted;
    return 0;
}

static void destroy_hosted(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;

    io_close(&hosted->wake_fd);
    free(hosted);
    vm->hosted = NULL;
}

static int open_kvm(struct hosted_vm *hosted)
{
    int r = kvm_host_open(&hosted->host);

    if (r < 0) {
        return r;
    }
    if (env_config(hosted->env)->creates_vm_in_background) {
        kvm_vm_open_begin(&hosted->kvm, &hosted->host);
        return 0;
    }
    r = kvm_vm_open(&hosted->kvm, &hosted->host);
    if (r < 0) {
        kvm_host_close(&hosted->host);
    }
    return r;
}

int vm_complete(struct hosted_vm *hosted)
{
    int r;

    if (hosted->is_complete) {
        return 0;
    }
    r = kvm_vm_await(&hosted->kvm);
    if (r == 0) {
        r = arch_vm_init(hosted->vm);
    }
    hosted->is_complete = r == 0;
    return r;
}

static void close_kvm(struct hosted_vm *hosted)
{
    kvm_vm_close(&hosted->kvm);
    kvm_host_close(&hosted->host);
}

static void notified(void *cookie)
{
    vm_wake(cookie, REQUEST_NOTIFY);
}

static int connect_endpoint(vm_t *vm)
{
    struct hosted_vm *hosted = vm->hosted;
    int r;

    if (vm->host_endpoint == seL4_CapNull) {
        return 0;
    }
    r = ntfn_get(hosted->env, vm->host_endpoint, &hosted->ntfn, NULL);
    if (r < 0) {
        return r;
    }
    r = ntfn_set_wake(hosted->ntfn, notified, hosted);
    if (r < 0) {
        ntfn_put(hosted->ntfn);
        hosted->ntfn = NULL;
    }
    return r;
}

static void disconnect_endpoint(vm_t *vm)
{
    if (vm->hosted->ntfn != NULL) {
        ntfn_clear_wake(vm->hosted->ntfn);
        ntfn_put(vm->hosted->ntfn);
        vm->hosted->ntfn = NULL;
    }
}

/* A handle that stands for an object which a process needs none of. */
static int create_token(struct env *env, seL4_Word type, vka_object_t *ret)
{
    seL4_CPtr cptr;
    struct cap *cap;
    int r = cap_slot_alloc(env, &cptr);

    if (r < 0) {
        return r;
    }
    env_lock(env);
    r = cap_find_empty(env, cptr, &cap);
    if (r == 0) {
        cap_fill_token(cap, type);
    }
    env_unlock(env);
    if (r < 0) {
        (void)cap_slot_free(env, cptr); /* it is there: we have just made it */
        return r;
    }
    *ret = (vka_object_t){.cptr = cptr, .type = type};
    return 0;
}

static void destroy_token(struct env *env, vka_object_t *token)
{
    if (token->cptr != seL4_CapNull) {
        (void)cap_delete(env, token->cptr); /* the client may have deleted it */
        (void)cap_slot_free(env, token->cptr);
        *token = (vka_object_t){0};
    }
}

/* Construction from top to bottom; from any step that fails back up again. */
static int construct(vm_t *vm, struct env *env)
{
    int r = create_hosted(vm, env);

    if (r < 0) {
        return r;
    }
    r = open_kvm(vm->hosted);
    if (r < 0) {
        goto destroy_hosted;
    }
    r = guest_vspace_create(vm);
    if (r < 0) {
        goto close_kvm;
    }
    r = create_token(env, HOSTVM_VSPACE_OBJECT, &vm->mem.vm_vspace_root);
    if (r < 0) {
        goto destroy_vspace;
    }
    r = vm_memory_init(vm);
    if (r < 0) {
        goto destroy_root;
    }
    r = env_config(env)->creates_vm_in_background ? 0 : vm_complete(vm->hosted);
    if (r < 0) {
        goto destroy_memory;
    }
    r = connect_endpoint(vm);
    if (r < 0) {
        goto fini_arch;
    }
    return 0;

fini_arch:
    arch_vm_fini(vm);
destroy_memory:
    memory_fini(vm);
destroy_root:
    destroy_token(env, &vm->mem.vm_vspace_root);
destroy_vspace:
    guest_vspace_destroy(vm);
close_kvm:
    close_kvm(vm->hosted);
destroy_hosted:
    destroy_hosted(vm);
    return r;
}

int vm_init(vm_t *vm, vka_t *vka, simple_t *host_simple, vspace_t host_vspace, ps_io_ops_t *io_ops,
            seL4_CPtr host_endpoint, const char *name)
{
    struct env *env;
    int r;

    if (vm == NULL) {
        return public_status(NULL, fail(-EINVAL, "vm_init: no VM given"));
    }
    *vm =
        (vm_t){.vka = vka, .simple = host_simple, .io_ops = io_ops, .host_endpoint = host_endpoint};
    vm->mem.vmm_vspace = host_vspace;
    vm->run.exit_reason = VM_GUEST_UNKNOWN_EXIT;
    r = check_arguments(vka, host_simple, io_ops);
    if (r < 0) {
        return public_status(NULL, r);
    }
    env = env_of_vka(vka);
    if (env == NULL) {
        return public_status(NULL, -EINVAL);
    }
    vm->vm_name = strdup(name != NULL ? name : "vm");
    r = vm->vm_name == NULL ? fail(-ENOMEM, "cannot create a VM: out of memory")
                            : construct(vm, env);
    if (r < 0) {
        log_at(env_log(env), HOSTVM_LOG_ERROR, "%s", reason_last());
        free(vm->vm_name);
        vm->vm_name = NULL;
        return -1;
    }
    vm->vm_initialised = true;
    return 0;
}

/* --- vcpus --- */

static void destroy_vcpu(vm_t *vm, vm_vcpu_t *vcpu)
{
    if (vcpu->hosted != NULL) {
        vcpu_close(vcpu);
    }
    destroy_token(vm->hosted->env, &vcpu->vcpu);
    free(vcpu->hosted);
    free(vcpu);
}

static int create_vcpu(vm_t *vm, int priority, vm_vcpu_t **ret)
{
    vm_vcpu_t *vcpu;
    int r;

    if (vm->num_vcpus >= CONFIG_MAX_NUM_NODES) {
        return fail(-ENOSPC, "cannot create another vcpu: a VM has at most %d",
                    CONFIG_MAX_NUM_NODES);
    }
    vcpu = calloc(1, sizeof(*vcpu));
    if (vcpu == NULL) {
        return fail(-ENOMEM, "cannot create a vcpu: out of memory");
    }
    vcpu->vm = vm;
    vcpu->vcpu_id = vm->num_vcpus;
    vcpu->target_cpu = -1;
    vcpu->tcb.priority = priority;
    vcpu->hosted = calloc(1, sizeof(*vcpu->hosted));
    r = vcpu->hosted == NULL ? fail(-ENOMEM, "cannot create a vcpu: out of memory") : 0;
    if (r == 0) {
        vcpu->hosted->vcpu = vcpu;
        vcpu->hosted->kvm.fd = -1;
        r = create_token(vm->hosted->env, HOSTVM_VCPU_OBJECT, &vcpu->vcpu);
    }
    if (r == 0) {
        r = arch_vcpu_init(vcpu);
    }
    if (r < 0) {
        destroy_vcpu(vm, vcpu);
        return r;
    }
    vm->vcpus[vm->num_vcpus] = vcpu;
    __atomic_store_n(&vm->num_vcpus, vm->num_vcpus + 1, __ATOMIC_RELEASE); /* see vm_wake */
    *ret = vcpu;
    return 0;
}

vm_vcpu_t *vm_create_vcpu(vm_t *vm, int priority)
{
    vm_vcpu_t *vcpu = NULL;
    int r;

    if (!vm_is_usable(vm)) {
        (void)public_status(vm, fail(-EINVAL, "vm_create_vcpu: no VM, or one without vm_init"));
        return NULL;
    }
    vm_enter(vm);
    r = create_vcpu(vm, priority, &vcpu);
    vm_leave(vm);
    return public_status(vm, r) == 0 ? vcpu : NULL;
}

static int assign_target(vm_vcpu_t *vcpu, int target_cpu)
{
    vm_t *vm = vcpu->vm;

    for (unsigned i = 0; i < vm->num_vcpus && target_cpu != -1; i++) {
        if (vm->vcpus[i]->target_cpu == target_cpu) {
            return fail(-EEXIST, "cannot assign CPU %d to vcpu %u: vcpu %u has it", target_cpu,
                        vcpu->vcpu_id, i);
        }
    }
    vcpu->target_cpu = target_cpu;
    return 0;
}

int vm_assign_vcpu_target(vm_vcpu_t *vcpu, int target_cpu)
{
    int r;

    if (!vcpu_is_usable(vcpu)) {
        return public_status(NULL, fail(-EINVAL, "vm_assign_vcpu_target: no vcpu given"));
    }
    vm_enter(vcpu->vm);
    r = assign_target(vcpu, target_cpu);
    vm_leave(vcpu->vm);
    return public_status(vcpu->vm, r);
}

static int set_cpu_model(struct hosted_vm *hosted, hostvm_cpu_model_t model)
{
    if (model != HOSTVM_CPU_SEL4 && model != HOSTVM_CPU_HOST) {
        return fail(-EINVAL, "there is no processor model %d", (int)model);
    }
    if (hosted->has_started_vcpu) {
        return fail(-EBUSY, "cannot change the processor model: a vcpu was started already");
    }
    hosted->cpu_model = model;
    return 0;
}

int hostvm_vm_set_cpu_model(vm_t *vm, hostvm_cpu_model_t model)
{
    int r;

    if (!vm_is_usable(vm)) {
        return public_status(vm, fail(-EINVAL, "hostvm_vm_set_cpu_model: no VM given"));
    }
    vm_enter(vm);
    r = set_cpu_model(vm->hosted, model);
    vm_leave(vm);
    return public_status(vm, r);
}

/* --- the way back --- */

/*
 * Whoever gets the lock while a callback is under way is that callback: the lock is recursive.
 * Others need not wait for it.
 */
static bool is_in_callback(vm_t *vm)
{
    bool is_in = false;

    if (lock_try(&vm->hosted->lock)) {
        is_in = vm_is_in_client(vm->hosted);
        vm_leave(vm);
    }
    return is_in;
}

int hostvm_vm_destroy(vm_t *vm)
{
    struct env *env;

    if (vm == NULL) {
        return public_status(NULL, fail(-EINVAL, "hostvm_vm_destroy: no VM given"));
    }
    if (vm->hosted == NULL) { /* vm_init failed, or it is destroyed already */
        return 0;
    }
    if (is_in_callback(vm)) {
        return public_status(
            vm,
            fail(-EBUSY, "cannot destroy a VM from an iterator or a touch callback of its own"));
    }
    if (vm->hosted->is_in_run && step_abandon(vm) < 0) {
        return public_status(vm, -EBUSY);
    }
    env = vm->hosted->env;
    rate_limit_flush(vm->hosted->log, &vm->hosted->guest_noise, HOSTVM_LOG_WARN,
                     "what the guest gave reason to warn of");
    disconnect_endpoint(vm);
    irq_acks_fini(vm->hosted);
    irq_sources_fini(vm->hosted);
    events_fini(vm->hosted);
    while (vm->num_vcpus > 0) {
        vm->num_vcpus--;
        destroy_vcpu(vm, vm->vcpus[vm->num_vcpus]);
    }
    close_kvm(vm->hosted); /* with its memory slots: taking them away one by one would cost a grace
                              period each */
    arch_vm_fini(vm);
    memory_fini(vm);
    destroy_token(env, &vm->mem.vm_vspace_root);
    guest_vspace_destroy(vm);
    free(vm->mem.ram_regions);
    destroy_hosted(vm);
    free(vm->vm_name);
    *vm = (vm_t){.num_vcpus = 0};
    return 0;
}

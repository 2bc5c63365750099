!> Passes over chosen structures that move the weights after every structure or mini-batch.
!>
!> Each pass is one loop of evaluations and steps.  When the user interrupts, weights and state are those
!> in the middle of the pass: the caller keeps a copy.
module tf_passes
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, check_memory
   use tf_pack, only : loss_type
   use tf_chosen, only : panel_type, forward_chosen, backward_chosen, batch_gradient, chosen_energies, evaluate_jacobian
   use tf_steepest_descent, only : descent_step
   use tf_kalman, only : kalman_step
   use tf_adam, only : adam_step
   use tf_levenberg_marquardt, only : normal_matrix, damped_step
   use tf_stop, only : stop_type, must_stop
   implicit none
   private
   public :: descent_pass, kalman_pass, adam_pass, levenberg_marquardt_pass, lm_damping_max

   !> Steps between two looks for Ctrl-C
   integer, parameter :: steps_between = 16
   !> Levenberg and Marquardt: dampings tried for one step (ænet); with more damping a step is nothing but rounding
   integer, parameter :: lm_trials = 5
   real(wp), parameter :: lm_damping_max = 1.0e12_wp, lm_damping_min = 1.0e-15_wp

contains

   !> Steepest descent with momentum, structure by structure
   subroutine descent_pass(loss, chosen, momentum, rate, weights, velocity, error)
      type(loss_type), intent(in) :: loss
      !> Structure numbers, from 1, in the order of the steps
      integer, intent(in) :: chosen(:)
      real(wp), intent(in) :: momentum, rate
      real(wp), intent(inout), contiguous :: weights(:)
      !> (n_weights)
      real(wp), intent(inout) :: velocity(:)
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: gradient(:)
      type(panel_type) :: panel
      type(stop_type) :: stop
      real(wp) :: energy(1)
      integer :: i, status

      stop%token => loss%token
      allocate (gradient(size(weights)), stat=status)
      call check_memory(status, "a gradient", 8_i8*size(weights), error)
      if (allocated(error)) return
      do i = 1, size(chosen)
         associate (s => chosen(i))
            call forward_chosen(loss, weights, chosen(i:i), panel, energy, error)
            if (allocated(error)) return
            gradient = 0.0_wp
            call backward_chosen(loss, weights, chosen(i:i), &
               -loss%structure_weight(s)*loss%factor(s)**2*(loss%energy_ref(s:s) - energy), panel, gradient)
         end associate
         call descent_step(momentum, rate, gradient, weights, velocity)
         if (mod(i, steps_between) == 0) then
            if (must_stop(stop, .true.)) return
         end if
      end do
   end subroutine descent_pass

   !> Extended Kalman filter, structure by structure: the observed quantity is √weight·factor·E
   subroutine kalman_pass(loss, chosen, width, forgetting_rate, noise, n_threads, weights, covariance, forgetting, error)
      type(loss_type), intent(in) :: loss
      !> Structure numbers, from 1
      integer, intent(in) :: chosen(:)
      !> Weights per block of the covariance
      integer, intent(in) :: width
      !> After each structure λ ← rate·(λ − 1) + 1
      real(wp), intent(in) :: forgetting_rate
      real(wp), intent(in) :: noise
      integer, intent(in) :: n_threads
      real(wp), intent(inout), contiguous :: weights(:)
      real(wp), intent(inout), contiguous :: covariance(:)
      !> λ
      real(wp), intent(inout) :: forgetting
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: derivative(:)
      type(panel_type) :: panel
      type(stop_type) :: stop
      real(wp) :: energy(1), scale(1)
      integer :: i, status

      stop%token => loss%token
      allocate (derivative(size(weights)), stat=status)
      call check_memory(status, "a gradient", 8_i8*size(weights), error)
      if (allocated(error)) return
      do i = 1, size(chosen)
         associate (s => chosen(i))
            scale = sqrt(loss%structure_weight(s))*loss%factor(s)
            call forward_chosen(loss, weights, chosen(i:i), panel, energy, error)
            if (allocated(error)) return
            derivative = 0.0_wp
            call backward_chosen(loss, weights, chosen(i:i), scale, panel, derivative)
            call kalman_step(size(weights), width, forgetting, noise, derivative, &
               scale(1)*(loss%energy_ref(s) - energy(1)), n_threads, weights, covariance)
         end associate
         forgetting = forgetting_rate*(forgetting - 1.0_wp) + 1.0_wp
         if (mod(i, steps_between) == 0) then
            if (must_stop(stop, .true.)) return
         end if
      end do
   end subroutine kalman_pass

   !> Adam, mini-batch by mini-batch: `batch_size` structures each, in the order of `rows`; the last may have fewer
   subroutine adam_pass(loss, rows, batch_size, rates, n_threads, weights, mean, mean_square, n_steps, error)
      type(loss_type), intent(in) :: loss
      !> (n, 3) structures in the order of the steps, see `tf_chosen`
      integer, intent(in) :: rows(:, :)
      integer, intent(in) :: batch_size
      !> mu, b1, b2, eps, decay of tf_adam
      real(wp), intent(in) :: rates(5)
      integer, intent(in) :: n_threads
      real(wp), intent(inout), contiguous, target :: weights(:)
      !> (n_weights)
      real(wp), intent(inout) :: mean(:), mean_square(:)
      !> Steps taken so far
      integer, intent(inout) :: n_steps
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: gradient(:)
      type(stop_type) :: stop
      integer :: first, last, status

      stop%token => loss%token
      allocate (gradient(size(weights)), stat=status)
      call check_memory(status, "a gradient", 8_i8*size(weights), error)
      if (allocated(error)) return
      do first = 1, size(rows, 1), batch_size
         last = min(first + batch_size - 1, size(rows, 1))
         call batch_gradient(loss, weights, rows(first:last, :), n_threads, gradient, stop, error)
         if (allocated(error) .or. stop%stopped) return
         n_steps = n_steps + 1
         call adam_step(rates, n_steps, gradient, weights, mean, mean_square)
         if (mod(n_steps, steps_between) == 0 .or. last - first > steps_between) then
            if (must_stop(stop, .true.)) return
         end if
      end do
   end subroutine adam_pass

   !> Levenberg-Marquardt, batch by batch: `n_steps` steps on each, or until one lowers its loss by less than `converged`
   subroutine levenberg_marquardt_pass(loss, chosen, batch_size, n_steps, adjust, converged, n_threads, weights, damping, &
         moved, error)
      type(loss_type), intent(in) :: loss
      !> Structure numbers, from 1
      integer, intent(in) :: chosen(:)
      integer, intent(in) :: batch_size, n_steps
      !> Factor by which the damping changes; fraction of the loss
      real(wp), intent(in) :: adjust, converged
      integer, intent(in) :: n_threads
      real(wp), intent(inout), contiguous :: weights(:)
      real(wp), intent(inout) :: damping
      !> Has any step lowered a loss?
      logical, intent(out) :: moved
      type(error_type), allocatable, intent(inout) :: error
      type(stop_type) :: stop
      real(wp) :: fallen
      integer :: first, last, i

      stop%token => loss%token
      moved = .false.
      do first = 1, size(chosen), batch_size
         last = min(first + batch_size - 1, size(chosen))
         do i = 1, n_steps
            if (must_stop(stop, .true.)) return
            call damped_trials(loss, chosen(first:last), adjust, n_threads, weights, damping, fallen, stop, error)
            if (allocated(error) .or. stop%stopped) return
            if (fallen < 0.0_wp) exit
            moved = .true.
            if (fallen < converged) exit
         end do
      end do
   end subroutine levenberg_marquardt_pass

   !> One step on a batch: more and more damping until its loss falls
   subroutine damped_trials(loss, batch, adjust, n_threads, weights, damping, fallen, stop, error)
      type(loss_type), intent(in) :: loss
      !> Structure numbers, from 1
      integer, intent(in) :: batch(:)
      real(wp), intent(in) :: adjust
      integer, intent(in) :: n_threads
      !> (n_weights) of all networks
      real(wp), intent(inout), contiguous :: weights(:)
      real(wp), intent(inout) :: damping
      !> By which fraction; -1: not at all, and the weights have not moved
      real(wp), intent(out) :: fallen
      type(stop_type), intent(inout) :: stop
      type(error_type), allocatable, intent(inout) :: error
      real(wp), allocatable :: jacobian(:, :), normal(:, :), scale(:), residual(:), energy(:), step(:)
      real(wp) :: before, after
      integer :: n, n_normal, k, status
      logical :: solved

      fallen = -1.0_wp
      n = size(batch)
      n_normal = min(n, size(weights))
      allocate (jacobian(size(weights), n), energy(n), step(size(weights)), stat=status)
      call check_memory(status, "the Jacobian of a batch", 8_i8*(n + 1)*(size(weights) + 1_i8), error)
      if (allocated(error)) return
      allocate (normal(n_normal, n_normal), stat=status)
      call check_memory(status, "the normal matrix of a batch", 8_i8*n_normal**2_i8, error)
      if (allocated(error)) return
      scale = sqrt(loss%structure_weight(batch))*loss%factor(batch)
      call evaluate_jacobian(loss, weights, batch, n_threads, energy, jacobian, error)
      if (allocated(error)) return
      residual = scale*(loss%energy_ref(batch) - energy)
      do k = 1, n
         jacobian(:, k) = jacobian(:, k)*scale(k)
      end do
      call normal_matrix(jacobian, n_threads, normal, error)
      if (allocated(error)) return
      before = dot_product(residual, residual)
      do k = 1, lm_trials
         call damped_step(jacobian, residual, normal, damping, step, solved, error)
         if (allocated(error)) return
         if (solved) then
            step = weights + step
            call chosen_energies(loss, step, batch, n_threads, energy, stop, error)
            if (allocated(error) .or. stop%stopped) return
            energy = scale*(loss%energy_ref(batch) - energy)
            after = dot_product(energy, energy)
            if (after < before) then
               weights = step
               damping = max(damping/adjust, lm_damping_min)
               fallen = 1.0_wp - after/before
               return
            end if
         end if
         damping = min(damping*adjust, lm_damping_max)
      end do
   end subroutine damped_trials

end module tf_passes
